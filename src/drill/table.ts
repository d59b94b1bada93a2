// SPDX-License-Identifier: Apache-2.0
import type { Director } from './director.ts';
import { openingPort, probePort } from './lab/topology.ts';

// A director's connection table, as `baton connections` shows it.

const passingPorts: ReadonlySet<number> = new Set([probePort, openingPort]);

/**
 * The real server and state of each connection and flow. Those of the probe, and sessions that are opened all the time,
 * are left out: hundreds of them come and go each second.
 */
export async function readTable(director: Director): Promise<Map<string, string>> {
  const table = new Map<string, string>();
  for await (const entry of director.connections()) {
    if (passingPorts.has(entry.virtualPort) || entry.template === true) continue;
    const key = `${entry.protocol} ${entry.clientAddress} ${entry.clientPort} ${entry.virtualAddress}`;
    table.set(key, `${entry.realAddress} ${entry.state}`);
  }
  return table;
}

/** The differences as a sentence, empty when there is none. */
export function compareTables(
  a: ReadonlyMap<string, string>,
  b: ReadonlyMap<string, string>,
  sessionsMin: number,
): string {
  const onlyInA = [...a.keys()].filter((key) => !b.has(key)).length;
  const onlyInB = [...b.keys()].filter((key) => !a.has(key)).length;
  const unlike = [...a].filter(([key, value]) => b.has(key) && b.get(key) !== value).length;
  const differences: string[] = [];
  if (onlyInA > 0) differences.push(`${onlyInA} connections are known to director a only`);
  if (onlyInB > 0) differences.push(`${onlyInB} to director b only`);
  if (unlike > 0) differences.push(`${unlike} differ`);
  if (a.size < sessionsMin) differences.push(`director a knows ${a.size} for ${sessionsMin} sessions`);
  return differences.join(', ');
}
