// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../../lib/ip-address.ts';
import { familyOf, ipAddressBytes } from '../../lib/ip-address.ts';
import type { Prefix } from '../../lib/prefix.ts';
import type { BpfMap } from './bpf-object.ts';
import { wideAddress } from './endpoint-keys.ts';
import { hopMacs } from './hop-record.ts';
import { HopState, RouteKind } from './layout/enums.ts';
import { HopLayout, RouteLayout } from './layout/structs.ts';
import type { NextHopSink, Route } from './next-hops.ts';
import type { XdpMaps } from './xdp-maps.ts';

/** Routes and neighbours in the maps of the program. */
export class NextHopMaps implements NextHopSink {
  readonly #maps: Pick<XdpMaps, 'routes' | 'neighbours'>;
  /** Keys that have been written since the beginning, until `dropOthers` has been called. */
  #written: Map<BpfMap, Set<string>> | undefined = new Map();

  constructor(maps: Pick<XdpMaps, 'routes' | 'neighbours'>) {
    this.#maps = maps;
  }

  setRoute(prefix: Prefix, route: Route): void {
    const map = this.#maps.routes[familyOf(prefix.address)];
    this.#update(map, prefixKey(prefix), routeValue(route));
  }

  removeRoute(prefix: Prefix): void {
    this.#maps.routes[familyOf(prefix.address)].delete(prefixKey(prefix));
  }

  setNeighbour(interfaceIndex: number, address: IpAddress, macAddress: Uint8Array): void {
    const value = new Uint8Array(8);
    value.set(macAddress);
    this.#update(this.#maps.neighbours, neighbourKey(interfaceIndex, address), value);
  }

  removeNeighbour(interfaceIndex: number, address: IpAddress): void {
    this.#maps.neighbours.delete(neighbourKey(interfaceIndex, address));
  }

  /** All routes and neighbours have been written: any other entry, which a former process has left, is out of date. */
  dropOthers(): void {
    const written = this.#written;
    if (written === undefined) return;
    this.#written = undefined;
    for (const map of [this.#maps.routes.ipv4, this.#maps.routes.ipv6, this.#maps.neighbours]) {
      const keys = [...map.keys()];
      for (const key of keys) if (written.get(map)?.has(keyText(key)) !== true) map.delete(key);
    }
  }

  #update(map: BpfMap, key: Uint8Array, value: Uint8Array): void {
    map.update(key, value);
    if (this.#written === undefined) return;
    const keys = this.#written.get(map) ?? new Set();
    this.#written.set(map, keys.add(keyText(key)));
  }
}

/** `struct prefix4`, `struct prefix6`: the length in host order, then the address. */
function prefixKey({ address, length }: Prefix): Uint8Array {
  const bytes = ipAddressBytes(address);
  const key = new Uint8Array(4 + bytes.length);
  new Uint32Array(key.buffer, 0, 1)[0] = length;
  key.set(bytes, 4);
  return key;
}

/** `struct neighbour_key`. */
function neighbourKey(interfaceIndex: number, address: IpAddress): Uint8Array {
  const key = new Uint8Array(20);
  new Uint32Array(key.buffer, 0, 1)[0] = interfaceIndex;
  key.set(wideAddress(address), 4);
  return key;
}

/** `struct route`. */
function routeValue(route: Route): Uint8Array {
  const value = new Uint8Array(RouteLayout.size);
  new Uint32Array(value.buffer)[HopLayout.interfaceIndex >> 2] = route.interfaceIndex;
  new Uint16Array(value.buffer)[HopLayout.mtu >> 1] = Math.min(route.mtu, 0xffff);
  value[HopLayout.state] = hopStateOf(route);
  value.set(hopMacs(route), HopLayout.macs);
  value[RouteLayout.kind] = RouteKind[route.kind];
  return value;
}

function hopStateOf({ kind, resolved }: Route): number {
  if (kind === 'unreachable') return HopState.unreachable;
  return resolved || kind === 'onLink' ? HopState.resolved : HopState.resolving;
}

function keyText(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}
