// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from 'node:fs';
import { errno, pinnedMemory, sched_setscheduler, setpriority } from '../libc.ts';
import { errnoName } from '../system-error.ts';

// linux/sched.h
const SCHED_RR = 2;
/** Threads and children that are started later are scheduled as ordinary ones again. */
const SCHED_RESET_ON_FORK = 0x4000_0000;
/** Above every ordinary process; below the kernel's own threads, which have priority 50 and more. */
const priority = 10;

/**
 * Asks that the calling thread run before all ordinary ones. Returns undefined when that was granted, otherwise the
 * rest of a sentence that says why it was not. Memory is not locked: V8 gives pages back with MADV_DONTNEED, which
 * fails on locked ones, and then ends the process.
 */
export function requestRealTime(): string | undefined {
  const parameters = pinnedMemory(4);
  new Int32Array(parameters.bytes.buffer)[0] = priority;
  if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, parameters.address) === 0) return undefined;
  return `the scheduler refused a real-time priority (${errnoName(errno())}; CAP_SYS_NICE grants it)`;
}

// linux/resource.h
const PRIO_PROCESS = 0;
const niceness = -15;

/**
 * Asks that the calling thread come before ordinary ones when processors are short, without shutting them out: for a
 * thread that may be busy for long. Returns as `requestRealTime` does.
 */
export function requestPreference(): string | undefined {
  // On Linux 0 means the thread, not its process.
  if (setpriority(PRIO_PROCESS, 0, niceness) !== 0) {
    return `the scheduler refused a preference (${errnoName(errno())}; CAP_SYS_NICE grants it)`;
  }
  preferSession();
  return undefined;
}

/**
 * With autogroups (kernel/sched/autogroup.c, switched on in most distributions) a niceness counts only among the
 * threads of one session, and each session gets the same share: on a busy machine the thread would wait as if it had
 * asked for nothing. So the session's niceness is set as well, unless the session is shared: in a shell's, other
 * programs would come first too.
 */
function preferSession(): void {
  try {
    if (sessionOf(readFileSync('/proc/self/stat', 'utf8')) !== process.pid) return;
    writeFileSync('/proc/self/autogroup', String(niceness));
  } catch {
    // This kernel has no autogroups.
  }
}

/** proc_pid_stat(5): the sixth field. The second one, the name, may hold spaces and parentheses. */
function sessionOf(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]);
}
