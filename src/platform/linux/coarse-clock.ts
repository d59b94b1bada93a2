// SPDX-License-Identifier: Apache-2.0
import { checked, clock_getres, pinnedMemory } from './libc.ts';

// linux/time.h
const CLOCK_MONOTONIC_COARSE = 6;
const nsPerSecond = 1_000_000_000n;

/** How far CLOCK_MONOTONIC_COARSE may lag behind CLOCK_MONOTONIC, in nanoseconds: one tick of the kernel. */
export function coarseClockLagNs(): number {
  // struct timespec { i64 seconds, nanoseconds; }
  const resolution = pinnedMemory(16);
  checked(
    'clock_getres',
    clock_getres(CLOCK_MONOTONIC_COARSE, resolution.address),
    'read the resolution of the coarse clock',
  );
  const [seconds = 0n, nanoseconds = 0n] = new BigInt64Array(resolution.bytes.buffer);
  return Number(seconds * nsPerSecond + nanoseconds);
}
