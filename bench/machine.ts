// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release } from 'node:os';

/** The facts about the machine without which figures are worth nothing. */
export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  return `${availableParallelism()} processors (${model}), Linux ${release()}, Node.js ${process.version}; load average ${describeLoad()}`;
}

export function describeLoad(): string {
  const processes = readFileSync('/proc/loadavg', 'latin1').split(' ')[3];
  return `${loadavg()
    .map((load) => load.toFixed(2))
    .join(' ')} (${processes})`;
}
