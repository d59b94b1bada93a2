// SPDX-License-Identifier: Apache-2.0
import { errno, mlockall, pinnedMemory, sched_setscheduler } from './libc.ts';
import { errnoName } from './system-error.ts';

// linux/sched.h
const SCHED_RR = 2;
const SCHED_RESET_ON_FORK = 0x4000_0000;
/** Above every ordinary process; below the kernel's own threads that stand at 50 and more. */
const priority = 10;

// asm-generic/mman.h
const MCL_CURRENT = 1;
const MCL_FUTURE = 2;
/** Pages are locked as they come into use, rather than all address space that V8 sets aside at once. */
const MCL_ONFAULT = 4;

/**
 * Asks that the calling thread run before all ordinary ones and that its process never be paged out. What was not
 * granted comes back as a sentence's end; undefined when everything was.
 */
export function requestRealTime(): string | undefined {
  const refusals: string[] = [];
  const parameters = pinnedMemory(4);
  new Int32Array(parameters.bytes.buffer)[0] = priority;
  if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, parameters.address) === -1) {
    refusals.push(`the scheduler refused a real-time priority (${errnoName(errno())}; CAP_SYS_NICE grants it)`);
  }
  if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) === -1) {
    refusals.push(`its memory cannot be locked (${errnoName(errno())}; CAP_IPC_LOCK grants it)`);
  }
  return refusals.length === 0 ? undefined : refusals.join(', and ');
}
