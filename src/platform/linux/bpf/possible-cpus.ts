// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';

let count: number | undefined;

/** How many values an entry of a per-CPU map has: the possible CPUs, not only those that are present. */
export function possibleCpuCount(): number {
  count ??= countCpus(readFileSync('/sys/devices/system/cpu/possible', 'latin1'));
  return count;
}

/** Counts the CPUs in a kernel's list, as in `0-3,8`. */
export function countCpus(list: string): number {
  return list
    .trim()
    .split(',')
    .map((range) => range.split('-').map(Number))
    .reduce((sum, [first = 0, last = first]) => sum + last - first + 1, 0);
}
