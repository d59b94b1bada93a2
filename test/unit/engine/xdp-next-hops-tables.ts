// SPDX-License-Identifier: Apache-2.0
import type { Hop, NextHopSink, Route } from '../../../src/engine/xdp/next-hops.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import type { Prefix } from '../../../src/lib/prefix.ts';

/** A sink whose tables are text, as in `2 via 02:00:00:00:00:0a from 02:00:00:00:00:02 mtu 1500`. */
export class NextHopTables implements NextHopSink {
  readonly routes = new Map<string, string>();
  readonly neighbours = new Map<string, string>();
  /** Every call, in order. */
  readonly calls: string[] = [];

  setRoute(prefix: Prefix, route: Route): void {
    const text = describeRoute(route);
    if (this.routes.get(textOf(prefix)) === text) throw new Error(`${textOf(prefix)} is ${text} already`);
    this.routes.set(textOf(prefix), text);
    this.calls.push(`${textOf(prefix)}: ${text}`);
  }

  removeRoute(prefix: Prefix): void {
    if (!this.routes.delete(textOf(prefix))) throw new Error(`there is no ${textOf(prefix)}`);
    this.calls.push(`${textOf(prefix)}: removed`);
  }

  setNeighbour(interfaceIndex: number, address: IpAddress, macAddress: Uint8Array): void {
    const key = `${address}%${interfaceIndex}`;
    if (this.neighbours.get(key) === hex(macAddress)) throw new Error(`${key} is ${hex(macAddress)} already`);
    this.neighbours.set(key, hex(macAddress));
    this.calls.push(`${key}: ${hex(macAddress)}`);
  }

  removeNeighbour(interfaceIndex: number, address: IpAddress): void {
    const key = `${address}%${interfaceIndex}`;
    if (!this.neighbours.delete(key)) throw new Error(`there is no ${key}`);
    this.calls.push(`${key}: removed`);
  }

  /** The calls since the last time. */
  takeCalls(): string[] {
    return this.calls.splice(0);
  }
}

function describeRoute({ kind, interfaceIndex, mtu, ownMacAddress, resolved, macAddress }: Route): string {
  if (kind === 'unreachable') return 'unreachable';
  const what = kind === 'onLink' ? 'on the link' : `via ${resolved ? hex(macAddress) : '?'}`;
  return `${interfaceIndex} ${what} from ${hex(ownMacAddress)} mtu ${mtu}`;
}

export function describeHop({ state, interfaceIndex, mtu, ownMacAddress, macAddress }: Hop): string {
  if (state === 'unreachable') return state;
  const mac = state === 'resolved' ? hex(macAddress) : '?';
  return `${interfaceIndex} to ${mac} from ${hex(ownMacAddress)} mtu ${mtu}`;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function textOf({ address, length }: Prefix): string {
  return `${address}/${length}`;
}
