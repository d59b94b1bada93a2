// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../../lib/ip-address.ts';
import { endpointName } from '../../model/virtual-service.ts';
import { addToFilter, filterOf, writeFilter } from './address-filter.ts';
import type { BpfMap } from './bpf-object.ts';
import type { Destination, Destinations } from './destinations.ts';
import { endpointKey, endpointText, isIpv6, numberValue, parseEndpointKey, parseNumberValue } from './endpoint-keys.ts';
import { SettingsLayout } from './layout/structs.ts';
import { noDestination } from './limits.ts';
import type { MappedArray } from './mapped-array.ts';

/** How many destinations with one endpoint the program looks through for the connection of a reply. */
const sharersMax = 64;

interface Chain {
  readonly key: Uint8Array;
  readonly family: Family;
  head: number;
}

/**
 * The endpoints of real servers whose replies pass here, by which the program recognises replies. Each leads to a chain
 * of the destinations that share it. Configured destinations come first and in their order, because the first one
 * decides about a packet that belongs to no connection.
 */
export class Endpoints {
  readonly #maps: Readonly<Record<Family, BpfMap>>;
  readonly #destinations: Destinations;
  readonly #settings: MappedArray;
  readonly #chains = new Map<string, Chain>();

  constructor(maps: Readonly<Record<Family, BpfMap>>, destinations: Destinations, settings: MappedArray) {
    this.#maps = maps;
    this.#settings = settings;
    this.#destinations = destinations;
    for (const family of ['ipv4', 'ipv6'] as const) {
      for (const [key, value] of maps[family].entries()) {
        this.#chains.set(endpointText(parseEndpointKey(key)), { key, family, head: parseNumberValue(value) });
      }
    }
  }

  /** Makes the chains what the destinations are. `configured`: in the order of the configuration. */
  link(configured: Iterable<number>): void {
    const groups = this.#group(configured);
    // The filter never lacks what the maps have.
    const filter = filterOf([...groups.values()].map(([member]) => member!.address));
    addToFilter(this.#settings, SettingsLayout.replying, filter);
    for (const [text, chain] of this.#chains) {
      if (groups.has(text)) continue;
      this.#maps[chain.family].delete(chain.key);
      this.#chains.delete(text);
    }
    for (const [text, members] of groups) this.#write(text, members);
    this.#unlinkOthers(groups);
    writeFilter(this.#settings, SettingsLayout.replying, filter);
  }

  #group(configured: Iterable<number>): Map<string, Destination[]> {
    const groups = new Map<string, Destination[]>();
    const ordered = new Set([...configured].map((number) => this.#destinations.get(number)!));
    for (const destination of this.#destinations.values()) {
      // A destination without entries is about to be freed and is left out of the chain.
      if (destination.idleAtMs === undefined) ordered.add(destination);
    }
    for (const destination of ordered) {
      if (!destination.method.seesReplies) continue;
      const text = endpointText(destination);
      const members = groups.get(text);
      if (members === undefined) groups.set(text, [destination]);
      else if (members.length < sharersMax) members.push(destination);
    }
    return groups;
  }

  /**
   * The program walks the chain meanwhile. Each member leads on to its next one before anything leads to it, and the
   * last one ends the chain last: a walk may go round, which its bound ends, but misses nobody.
   */
  #write(text: string, members: readonly Destination[]): void {
    const { nextWithEndpoint } = this.#destinations;
    for (let i = members.length - 2; i >= 0; i -= 1)
      setNext(nextWithEndpoint, members[i]!.number, members[i + 1]!.number);
    const { number: head } = members[0]!;
    const known = this.#chains.get(text);
    const chain = known ?? {
      key: endpointKey(members[0]!),
      family: isIpv6(members[0]!.address) ? 'ipv6' : 'ipv4',
      head: noDestination,
    };
    const { number: last } = members.at(-1)!;
    if (known === undefined) setNext(nextWithEndpoint, last, noDestination);
    if (chain.head !== head) this.#maps[chain.family].update(chain.key, numberValue(head));
    chain.head = head;
    this.#chains.set(text, chain);
    setNext(nextWithEndpoint, last, noDestination);
  }

  #unlinkOthers(groups: Map<string, Destination[]>): void {
    const linked = new Set([...groups.values()].flat());
    for (const destination of this.#destinations.values()) {
      if (!linked.has(destination)) setNext(this.#destinations.nextWithEndpoint, destination.number, noDestination);
    }
  }
}

/** Throws when more real servers share an endpoint than the program looks through. */
export function requireFewSharers(endpoints: Iterable<Parameters<typeof endpointText>[0]>): void {
  const sharers = new Map<string, number>();
  for (const endpoint of endpoints) {
    const text = endpointText(endpoint);
    const count = (sharers.get(text) ?? 0) + 1;
    if (count > sharersMax) {
      throw new RangeError(
        `more than ${sharersMax} virtual services lead to ${endpoint.protocol} ${endpointName(endpoint)} by masquerade; give the real server further addresses or ports`,
      );
    }
    sharers.set(text, count);
  }
}

/** The lines of other destinations are left clean. */
function setNext(links: Destinations['nextWithEndpoint'], number: number, next: number): void {
  if (links.get(number) !== next) links.set(number, next);
}
