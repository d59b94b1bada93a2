// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KernelEvent, KernelLink, KernelNeighbour, KernelRoute } from '../../../src/engine/xdp/kernel-routes.ts';
import { type Hop, NextHops } from '../../../src/engine/xdp/next-hops.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { parsePrefix } from '../../../src/lib/prefix.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { describeHop, NextHopTables } from './xdp-next-hops-tables.ts';

const prefixTexts = [
  '0.0.0.0/0',
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.1.2.3/32',
  '::/0',
  '2001:db8::/32',
  '2001:db8::1/128',
];
const addresses = [
  '10.0.0.1',
  '10.1.2.3',
  '10.1.9.9',
  '192.0.2.1',
  '2001:db8::1',
  '2001:db9::1',
  'fe80::1',
] as IpAddress[];

const interfaceIndex = fc.integer({ min: 1, max: 3 });
const address = fc.constantFrom(...addresses);
const macAddress = fc.integer({ min: 1, max: 2 }).map((last) => Uint8Array.of(2, 0, 0, 0, 0, last));
const link: fc.Arbitrary<KernelLink> = fc.record({
  interfaceIndex,
  name: fc.constant('eth'),
  macAddress: fc.oneof({ weight: 9, arbitrary: macAddress }, { weight: 1, arbitrary: fc.constant(new Uint8Array(0)) }),
  mtu: fc.constantFrom(1400, 1500),
  up: fc.constantFrom(true, true, true, false),
});
const route: fc.Arbitrary<KernelRoute> = fc.record({
  kind: fc.constantFrom('unicast', 'unicast', 'unicast', 'unreachable'),
  metric: fc.constant(0),
  hops: fc.array(fc.record({ interfaceIndex, gateway: fc.option(address, { nil: undefined }) }), {
    minLength: 1,
    maxLength: 2,
  }),
  mtu: fc.constantFrom(0, 1280),
});
const neighbour: fc.Arbitrary<KernelNeighbour> = fc.record({
  interfaceIndex,
  address,
  state: fc.constantFrom('usable', 'stale', 'unresolved'),
  macAddress,
});
const event: fc.Arbitrary<KernelEvent> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('link'), link }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('linkGone'), interfaceIndex }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('links'),
      links: fc.uniqueArray(link, { selector: (each) => each.interfaceIndex }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('routes'),
      prefix: fc.constantFrom(...prefixTexts).map((text) => parsePrefix(text)!),
      routes: fc.array(route, { maxLength: 2 }),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('neighbour'), neighbour }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('neighbourGone'), interfaceIndex, address }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('neighbours'),
      neighbours: fc.uniqueArray(neighbour, { selector: (each) => `${each.interfaceIndex} ${each.address}` }),
    }),
  },
);

type Step =
  | { readonly kind: 'apply'; readonly events: readonly KernelEvent[] }
  | { readonly kind: 'ports'; readonly ports: readonly number[] }
  | { readonly kind: 'watch'; readonly server: IpAddress }
  | { readonly kind: 'release'; readonly server: IpAddress }
  | { readonly kind: 'miss'; readonly interfaceIndex: number; readonly client: IpAddress }
  | { readonly kind: 'wait'; readonly durationMs: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('apply'), events: fc.array(event, { minLength: 1, maxLength: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('ports'), ports: fc.subarray([1, 2, 3], { minLength: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('watch'), server: address }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('release'), server: address }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('miss'), interfaceIndex, client: address }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('wait'), durationMs: fc.constantFrom(1, 150, 5000, 700_000) }),
  },
);

/** The kernel's tables in the end. */
class KernelState {
  readonly links = new Map<number, KernelLink>();
  readonly routes = new Map<string, Extract<KernelEvent, { kind: 'routes' }>>();
  readonly neighbours = new Map<string, KernelNeighbour>();

  apply(event: KernelEvent): void {
    if (event.kind === 'link') this.links.set(event.link.interfaceIndex, event.link);
    else if (event.kind === 'linkGone') this.#removeLink(event.interfaceIndex);
    else if (event.kind === 'links') {
      const found = new Map(event.links.map((each) => [each.interfaceIndex, each]));
      for (const index of this.links.keys()) if (!found.has(index)) this.#removeLink(index);
      for (const [index, each] of found) this.links.set(index, each);
    } else if (event.kind === 'routes') this.routes.set(`${event.prefix.address}/${event.prefix.length}`, event);
    else if (event.kind === 'neighbour') this.#setNeighbour(event.neighbour);
    else if (event.kind === 'neighbourGone') this.neighbours.delete(`${event.interfaceIndex} ${event.address}`);
    else {
      this.neighbours.clear();
      for (const each of event.neighbours) this.#setNeighbour(each);
    }
  }

  events(): KernelEvent[] {
    return [
      { kind: 'neighbours', neighbours: [...this.neighbours.values()] },
      ...this.routes.values(),
      { kind: 'links', links: [...this.links.values()] },
    ];
  }

  #setNeighbour(each: KernelNeighbour): void {
    this.neighbours.set(`${each.interfaceIndex} ${each.address}`, each);
  }

  /** An interface that was known takes its neighbours along. */
  #removeLink(index: number): void {
    if (!this.links.delete(index)) return;
    for (const [key, each] of this.neighbours) if (each.interfaceIndex === index) this.neighbours.delete(key);
  }
}

function build(
  tables: NextHopTables,
  time: SimulatedTime,
  onHopChanged: (address: IpAddress, hop: Hop) => void,
): NextHops {
  const limits = { outstandingMax: 2, guestsMax: 3, missesPerSecond: 1000, missesBurst: 1000 };
  return new NextHops({ sink: tables, clock: time, ask: () => {}, onHopChanged, limits });
}

const sorted = (map: ReadonlyMap<string, string>): string[] => [...map].map(([key, value]) => `${key} ${value}`).sort();

test('whatever happened, the tables are those of what the kernel has in the end', () => {
  const run = (steps: readonly Step[]): void => {
    const tables = new NextHopTables();
    const time = new SimulatedTime();
    const reported = new Map<string, string>();
    const nextHops = build(tables, time, (server, hop) => reported.set(server, describeHop(hop)));
    const kernel = new KernelState();
    const servers = new Set<IpAddress>();
    let ports: readonly number[] = [1, 2, 3];
    nextHops.setPorts(ports);
    for (const each of steps) {
      if (each.kind === 'apply') {
        for (const one of each.events) kernel.apply(one);
        nextHops.apply(each.events);
      } else if (each.kind === 'ports') {
        ports = each.ports;
        nextHops.setPorts(ports);
      } else if (each.kind === 'watch') {
        if (!servers.has(each.server)) reported.set(each.server, describeHop(nextHops.hopFor(each.server)));
        servers.add(each.server);
      } else if (each.kind === 'release') {
        servers.delete(each.server);
        nextHops.release(each.server);
      } else if (each.kind === 'miss') nextHops.missing(each.interfaceIndex, each.client);
      else time.advanceBy(each.durationMs);
    }

    const fresh = new NextHopTables();
    const freshHops = build(fresh, new SimulatedTime(), () => {});
    freshHops.setPorts(ports);
    freshHops.apply(kernel.events());
    assert.deepEqual(sorted(tables.routes), sorted(fresh.routes));
    assert.deepEqual(sorted(tables.neighbours), sorted(fresh.neighbours));
    for (const server of servers) {
      const expected = describeHop(freshHops.hopFor(server));
      assert.equal(describeHop(nextHops.hopFor(server)), expected);
      assert.equal(reported.get(server), expected, 'as reported');
    }
  };
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), run), { numRuns: 500 });
});

test('a time later only what is wanted and unresolved is asked for', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const time = new SimulatedTime();
      const asked = new Set<string>();
      const nextHops = new NextHops({
        sink: new NextHopTables(),
        clock: time,
        ask: (index, neighbourAddress) => asked.add(`${index} ${neighbourAddress}`),
      });
      nextHops.setPorts([1, 2, 3]);
      for (const each of steps) {
        if (each.kind === 'apply') nextHops.apply(each.events);
        else if (each.kind === 'miss') nextHops.missing(each.interfaceIndex, each.client);
      }
      nextHops.apply(prefixTexts.map((text) => ({ kind: 'routes', prefix: parsePrefix(text)!, routes: [] })));
      time.advanceBy(700_000);
      asked.clear();
      time.advanceBy(60_000);
      assert.deepEqual([...asked], []);
      assert.equal(time.pendingCount, 0);
    }),
    { numRuns: 200 },
  );
});
