// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { KernelEvent } from '../../../src/engine/xdp/kernel-routes.ts';
import { familyOf, type IpAddress, ipAddressBytes } from '../../../src/lib/ip-address.ts';
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE } from '../../../src/platform/linux/netlink/message.ts';
import { RouteBook } from '../../../src/platform/linux/netlink/route-book.ts';
import type { RouteDetail } from '../../../src/platform/linux/netlink/rtnetlink.ts';

const local = 255;
const main = 254;
const default_ = 253;
const unicast = 1;
const localType = 2;
const blackhole = 6;

/** `prefix [via gateway] interface`. */
function route(text: string, overrides: Partial<RouteDetail> = {}): RouteDetail {
  const [prefix, ...way] = text.split(' ') as [string, ...string[]];
  const [address, length] = prefix.split('/') as [IpAddress, string];
  const gateway = way[0] === 'via' ? (way[1] as IpAddress) : undefined;
  const hops = [{ interfaceIndex: Number(way.at(-1)), gateway }];
  return {
    table: main,
    family: familyOf(address),
    destination: ipAddressBytes(address),
    prefixLength: Number(length),
    metric: 0,
    unicast: true,
    hops,
    type: unicast,
    typeOfService: 0,
    sourcePrefixLength: 0,
    cloned: false,
    mtu: 0,
    allHops: hops,
    ...overrides,
  };
}

/** Changes as `prefix: [gateway]%interface, ...`, the preferred route first. */
function changes(book: RouteBook): string[] {
  return book.takeChanges().map((event) => {
    const { prefix, routes } = event as Extract<KernelEvent, { kind: 'routes' }>;
    const texts = routes.map(({ kind, hops }) =>
      kind === 'unreachable' ? kind : hops.map((hop) => `${hop.gateway ?? ''}%${hop.interfaceIndex}`).join('+'),
    );
    return `${prefix.address}/${prefix.length}: ${texts.join(', ')}`;
  });
}

const added = (detail: RouteDetail, flags = NLM_F_CREATE) => ({ detail, gone: false, flags });
const replaced = (detail: RouteDetail) => ({ detail, gone: false, flags: NLM_F_REPLACE });
const removed = (detail: RouteDetail) => ({ detail, gone: true, flags: 0 });

const six = '2001:db8::/32';
const cases: readonly [
  what: string,
  dumped: RouteDetail[],
  notification: ReturnType<typeof added>,
  expected: string[] | 'unclear',
][] = [
  ['a first route', [], added(route('10.0.0.0/8 1')), ['10.0.0.0/8: %1']],
  ['a better one', [route('10.0.0.0/8 1', { metric: 9 })], added(route('10.0.0.0/8 2')), ['10.0.0.0/8: %2, %1']],
  ['a worse one', [route('10.0.0.0/8 1')], added(route('10.0.0.0/8 2', { metric: 9 })), ['10.0.0.0/8: %1, %2']],
  ['known already', [route('10.0.0.0/8 1')], added(route('10.0.0.0/8 1')), []],
  ['replaced', [route('10.0.0.0/8 1')], replaced(route('10.0.0.0/8 2')), ['10.0.0.0/8: %2']],
  ['replaced by itself', [route('10.0.0.0/8 1')], replaced(route('10.0.0.0/8 1')), []],
  ['another MTU', [route('10.0.0.0/8 1')], replaced(route('10.0.0.0/8 1', { mtu: 1400 })), ['10.0.0.0/8: %1']],
  [
    'a blackhole',
    [route('10.0.0.0/8 1')],
    replaced(route('10.0.0.0/8 1', { type: blackhole })),
    ['10.0.0.0/8: unreachable'],
  ],
  [
    'appended',
    [route('10.0.0.0/8 1')],
    added(route('10.0.0.0/8 2'), NLM_F_CREATE | NLM_F_APPEND),
    ['10.0.0.0/8: %1, %2'],
  ],
  ['prepended', [route('10.0.0.0/8 1')], added(route('10.0.0.0/8 2')), ['10.0.0.0/8: %2, %1']],
  ['one of two replaced', [route('10.0.0.0/8 1'), route('10.0.0.0/8 2')], replaced(route('10.0.0.0/8 3')), 'unclear'],
  [
    'one of two removed',
    [route('10.0.0.0/8 1'), route('10.0.0.0/8 2')],
    removed(route('10.0.0.0/8 2')),
    ['10.0.0.0/8: %1'],
  ],
  ['the last removed', [route('10.0.0.0/8 1')], removed(route('10.0.0.0/8 1')), ['10.0.0.0/8: ']],
  ['an unknown one removed', [], removed(route('10.0.0.0/8 1')), []],
  ['an unknown hop removed', [route('10.0.0.0/8 1')], removed(route('10.0.0.0/8 2')), 'unclear'],
  ['IPv6 merges gateways', [route(`${six} via fe80::1 1`)], added(route(`${six} via fe80::2 1`)), 'unclear'],
  ['IPv6 does not merge links', [route('fe80::/64 1')], added(route('fe80::/64 2')), ['fe80::/64: %1, %2']],
  ['another table', [], added(route('10.0.0.0/8 1', { table: 100 })), []],
  ['a type of service', [], added(route('10.0.0.0/8 1', { typeOfService: 16 })), []],
  ['a source prefix', [], added(route(`${six} 1`, { sourcePrefixLength: 64 })), []],
  ['a cached exception', [], added(route('10.0.0.1/32 1', { cloned: true })), []],
  [
    'a local address comes before a route',
    [route('10.0.0.1/32 1')],
    added(route('10.0.0.1/32 1', { table: local, type: localType })),
    ['10.0.0.1/32: unreachable, %1'],
  ],
  [
    'a local network hides longer prefixes',
    [route('10.1.0.0/16 1'), route('11.1.0.0/16 1')],
    added(route('10.0.0.0/8 1', { table: local, type: localType })),
    ['10.0.0.0/8: unreachable', '10.1.0.0/16: '],
  ],
  [
    'and shows them again',
    [route('10.1.0.0/16 1'), route('10.0.0.0/8 1', { table: local, type: localType })],
    removed(route('10.0.0.0/8 1', { table: local, type: localType })),
    ['10.0.0.0/8: ', '10.1.0.0/16: %1'],
  ],
  [
    'the table default comes after the default route',
    [route('0.0.0.0/0 1')],
    added(route('10.0.0.0/8 2', { table: default_ })),
    ['10.0.0.0/8: '],
  ],
  ['the table default alone', [], added(route('10.0.0.0/8 2', { table: default_ })), ['10.0.0.0/8: %2']],
];

describe('what a notification makes of the routes', () => {
  for (const [what, dumped, { detail, gone, flags }, expected] of cases) {
    test(what, () => {
      const book = new RouteBook();
      book.replaceFamily(
        'ipv4',
        dumped.filter(({ family }) => family === 'ipv4'),
      );
      book.replaceFamily(
        'ipv6',
        dumped.filter(({ family }) => family === 'ipv6'),
      );
      changes(book);
      const outcome = book.apply(detail, gone, flags);
      assert.deepEqual(outcome === 'unclear' ? outcome : changes(book).sort(), expected);
    });
  }
});

test('a dump brings what differs, and only in its family', () => {
  const book = new RouteBook();
  book.replaceFamily('ipv4', [route('10.0.0.0/8 1'), route('11.0.0.0/8 1'), route('12.0.0.0/8 1')]);
  book.replaceFamily('ipv6', [route('2001:db8::/32 1')]);
  changes(book);
  book.replaceFamily('ipv4', [route('12.0.0.0/8 2'), route('10.0.0.0/8 1'), route('13.0.0.0/8 1')]);
  assert.deepEqual(changes(book).sort(), ['11.0.0.0/8: ', '12.0.0.0/8: %2', '13.0.0.0/8: %1']);
});

test('notifications lead to where a dump does, also when they are applied once more after it', () => {
  const prefixes = ['0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.3/32'];
  const operation = fc.record({
    prefix: fc.constantFrom(...prefixes),
    table: fc.constantFrom(local, main, main, main, default_),
    metric: fc.constantFrom(0, 10),
    interfaceIndex: fc.integer({ min: 1, max: 2 }),
    gone: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), fc.nat(40), (operations, dumpAt) => {
      const kernel = new Map<string, RouteDetail>();
      const notifications = operations.flatMap(({ prefix, table, metric, interfaceIndex, gone }) => {
        const key = `${table} ${prefix} ${metric}`;
        const known = kernel.get(key);
        if (gone) {
          kernel.delete(key);
          return known === undefined ? [] : [removed(known)];
        }
        const detail = route(`${prefix} ${interfaceIndex}`, { table, metric });
        kernel.set(key, detail);
        return [known === undefined ? added(detail) : replaced(detail)];
      });
      const state = (book: RouteBook): string[] =>
        changes(book)
          .filter((each) => !each.endsWith(': '))
          .sort();
      const dumped = new RouteBook();
      dumped.replaceFamily('ipv4', [...kernel.values()]);
      const expected = state(dumped);

      const followed = new RouteBook();
      for (const { detail, gone, flags } of notifications) assert.equal(followed.apply(detail, gone, flags), 'done');
      assert.deepEqual(state(followed), expected);

      const overtaken = new RouteBook();
      overtaken.replaceFamily('ipv4', [...kernel.values()]);
      const late = notifications.slice(dumpAt).map(({ detail, gone, flags }) => overtaken.apply(detail, gone, flags));
      if (!late.includes('unclear')) assert.deepEqual(state(overtaken), expected);
    }),
    { numRuns: 1000 },
  );
});
