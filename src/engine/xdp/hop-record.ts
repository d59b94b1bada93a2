// SPDX-License-Identifier: Apache-2.0
import { HopState } from './layout/enums.ts';
import { HopLayout } from './layout/structs.ts';
import type { MappedArray } from './mapped-array.ts';
import type { Hop } from './next-hops.ts';

const states = ['unreachable', 'resolving', 'resolved'] as const satisfies readonly Hop['state'][];

/** `struct hop` in a record that the program reads meanwhile; `at` in bytes. */
export function writeHop({ bytes, halves, words }: MappedArray, at: number, hop: Hop): void {
  const stateAt = at + HopLayout.state;
  const state = HopState[hop.state];
  // A hop that becomes unusable says so before its fields change, and one that becomes usable only after they have.
  if (state !== HopState.resolved) bytes[stateAt] = state;
  const macs = new Uint32Array(hopMacs(hop).buffer);
  for (const [i, word] of macs.entries()) {
    const wordAt = (at + HopLayout.macs + 4 * i) >> 2;
    if (words[wordAt] !== word) words[wordAt] = word;
  }
  words[(at + HopLayout.interfaceIndex) >> 2] = hop.interfaceIndex;
  halves[(at + HopLayout.mtu) >> 1] = Math.min(hop.mtu, 0xffff);
  bytes[stateAt] = state;
}

export function readHopState({ bytes }: MappedArray, at: number): Hop['state'] {
  return states[bytes[at + HopLayout.state]!] ?? 'unreachable';
}

/** The neighbour's MAC address, then the interface's own: as an Ethernet header begins. */
export function hopMacs({ macAddress, ownMacAddress }: Pick<Hop, 'macAddress' | 'ownMacAddress'>): Uint8Array {
  const macs = new Uint8Array(12);
  macs.set(macAddress);
  macs.set(ownMacAddress, 6);
  return macs;
}
