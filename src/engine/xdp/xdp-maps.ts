// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../../lib/ip-address.ts';
import type { BpfMap, BpfObject } from './bpf-object.ts';
import { MappedArray } from './mapped-array.ts';

/** All maps of the program that the engine writes or reads, by what they hold. */
export interface XdpMaps {
  readonly settings: MappedArray;
  readonly totals: MappedArray;
  readonly publishing: MappedArray;
  readonly destinations: MappedArray;
  readonly loads: MappedArray;
  readonly services: MappedArray;
  readonly slots: MappedArray;
  readonly traffic: MappedArray;
  readonly tallies: MappedArray;
  readonly ports: MappedArray;
  readonly egress: BpfMap;
  readonly addresses: Readonly<Record<Family, BpfMap>>;
  readonly servicesByEndpoint: Readonly<Record<Family, BpfMap>>;
  readonly realServers: Readonly<Record<Family, BpfMap>>;
  readonly routes: Readonly<Record<Family, BpfMap>>;
  readonly neighbours: BpfMap;
}

/** Throws one sentence when the object is not that of the XDP engine. */
export function openXdpMaps(object: BpfObject): XdpMaps {
  const map = (name: string): BpfMap => requiredMap(object, name);
  const array = (name: string): MappedArray => new MappedArray(map(name));
  const maps = {
    settings: array('.data.settings'),
    totals: array('.data.totals'),
    publishing: array('.data.publishing'),
    destinations: array('destinations'),
    loads: array('loads'),
    services: array('services'),
    slots: array('slots'),
    traffic: array('traffic'),
    tallies: array('tallies'),
    ports: array('ports'),
    egress: map('egress'),
    addresses: { ipv4: map('addresses4'), ipv6: map('addresses6') },
    servicesByEndpoint: { ipv4: map('services4'), ipv6: map('services6') },
    realServers: { ipv4: map('real_servers4'), ipv6: map('real_servers6') },
    routes: { ipv4: map('routes4'), ipv6: map('routes6') },
    neighbours: map('neighbours'),
  };
  const { traffic, tallies, destinations, loads } = maps;
  if (traffic.length !== tallies.length * destinations.length || loads.length !== destinations.length) {
    throw new Error(
      'the sizes of the XDP program’s maps do not fit each other; load it with the settings of the engine',
    );
  }
  return maps;
}

export function requiredMap(object: BpfObject, name: string): BpfMap {
  const map = object.maps.get(name);
  if (map === undefined) throw new Error(`the XDP program has no map ${name}; it is of another version of baton`);
  return map;
}
