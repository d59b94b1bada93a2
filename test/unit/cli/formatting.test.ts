// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeConnection } from '../../../src/cli/connections.ts';
import { describeStatus } from '../../../src/cli/status.ts';
import { formatTable } from '../../../src/cli/table.ts';
import type { DirectorStatus, RealServerStatus } from '../../../src/director/status.ts';
import { dropReasons, type EngineCounters } from '../../../src/engine/engine.ts';
import { parseOptions, UsageError } from '../../../src/lib/command-line.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import type { ConnectionEntry } from '../../../src/model/connection.ts';

const address = (text: string): IpAddress => text as IpAddress;
const traffic = { connections: 0, packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 };
const noDrops = Object.fromEntries(dropReasons.map((reason) => [reason, 0])) as EngineCounters['drops'];

const realServer = (text: string, given: Partial<RealServerStatus> = {}): RealServerStatus => ({
  ...traffic,
  address: address(text),
  port: 80,
  activeConnections: 0,
  inactiveConnections: 0,
  forwardingMethod: 'masquerade',
  weight: 1,
  alive: true,
  ...given,
});

const pair: DirectorStatus = {
  version: '0.1.0',
  routerId: 'lb1',
  processId: 4711,
  uptimeMs: 93_784_000,
  configurationFile: '/etc/keepalived/keepalived.conf',
  virtualRouters: [
    {
      name: 'web',
      vrid: 51,
      interface: 'eth0',
      state: 'active',
      stateAgeMs: 9_940,
      priority: 150,
      addresses: [address('192.0.2.10'), address('192.0.2.11')],
      activeRouter: undefined,
      transitions: 2,
      advertisementsSent: 99,
      advertisementsReceived: 0,
      rejected: {},
    },
    {
      name: 'mail',
      vrid: 7,
      interface: 'eth1',
      state: 'backup',
      stateAgeMs: 119_999,
      priority: 90,
      addresses: [address('198.51.100.1')],
      activeRouter: address('198.51.100.3'),
      transitions: 1,
      advertisementsSent: 0,
      advertisementsReceived: 9,
      rejected: {},
    },
  ],
  sync: {
    state: 'inSync',
    peers: [
      { address: address('192.0.2.3'), lastHeardMs: 120, inSync: true },
      { address: address('192.0.2.4'), lastHeardMs: 3_600_000, inSync: false },
    ],
    counters: {},
  },
  services: [
    {
      ...traffic,
      name: 'tcp 192.0.2.10:80',
      scheduler: 'wlc',
      realServers: [
        realServer('10.0.0.21', { activeConnections: 12, inactiveConnections: 3, connections: 1000, weight: 10 }),
        realServer('10.0.0.22', { alive: false, packetsIn: 7, packetsOut: 6 }),
      ],
    },
  ],
  engine: {
    kind: 'portable',
    drops: { ...noDrops, noLease: 4, unknownConnection: 2 },
    halfOpenConnections: 1,
    establishedConnections: 12,
    secondClassConnections: 0,
    halfOpenEvictions: 0,
    secondClassEvictions: 0,
    arpReplies: 0,
    echoReplies: 0,
    resetsSent: 0,
    unreachablesSent: 0,
    eventOverruns: 0,
    connectionTemplates: 0,
    neighbourReplies: 0,
    errorsSuppressed: 0,
  },
};

test('the status of a director of a pair', () => {
  assert.equal(
    describeStatus(pair),
    `baton 0.1.0, lb1, portable engine, up 26h3m, pid 4711

virtual router  vrid  interface  state   since  priority  active        addresses
web               51  eth0       MASTER  9.9s        150  -             192.0.2.10 192.0.2.11
mail               7  eth1       BACKUP  119s         90  198.51.100.3  198.51.100.1

sync: in sync
  peer 192.0.2.3: in sync, heard 0.1s ago
  peer 192.0.2.4: not in sync, heard 60m0s ago

tcp 192.0.2.10:80 wlc  forward     weight    active  inactive  conns  in  out
-> 10.0.0.21:80        masquerade  10            12         3   1000   0    0
-> 10.0.0.22:80        masquerade  1 (down)       0         0      0   7    6

connections: 12 established, 1 half-open
dropped: noLease 4, unknownConnection 2
`,
  );
});

test('an interval that is adopted in part', () => {
  const [, mail] = pair.virtualRouters;
  const shortened = { ...mail!, shortenedInterval: { advertisedMs: 40_950, adoptedMs: 1000 } };
  const lines = describeStatus({ ...pair, virtualRouters: [shortened] }).split('\n');
  assert.equal(lines[4], 'mail: 198.51.100.3 says that it advertises every 40.95 s, adopted are 1 s');
});

test('a service with a sorry server, persistence and one-packet scheduling', () => {
  const { weight: _, alive: __, ...sorry } = realServer('10.0.0.99');
  const [web] = pair.services;
  const special = { ...web!, onePacket: true, persistence: { timeoutMs: 50_000, prefixLength: 24 } };
  const services = [true, false].map((serving) => ({
    ...special,
    realServers: [],
    sorryServer: { ...sorry, serving },
  }));
  assert.deepEqual(
    describeStatus({ ...pair, services })
      .split('\n')
      .filter((line) => /^(tcp|->)/.test(line)),
    [
      'tcp 192.0.2.10:80 wlc ops persistent 50s/24  forward     weight           active  inactive  conns  in  out',
      '-> 10.0.0.99:80                              masquerade  sorry (serving)       0         0      0   0    0',
      'tcp 192.0.2.10:80 wlc ops persistent 50s/24  forward     weight  active  inactive  conns  in  out',
      '-> 10.0.0.99:80                              masquerade  sorry        0         0      0   0    0',
    ],
  );
});

test('the status of a director that stands alone and serves nothing', () => {
  const alone = { ...pair, virtualRouters: [], services: [], sync: { state: 'off', peers: [], counters: {} } } as const;
  assert.equal(
    describeStatus({ ...alone, uptimeMs: 0, engine: { ...pair.engine, drops: noDrops } }),
    `baton 0.1.0, lb1, portable engine, up 0.0s, pid 4711

no virtual routers: every virtual address is served without election

sync: off (no lvs_sync_daemon): a failover breaks established sessions

connections: 12 established, 1 half-open
nothing dropped
`,
  );
});

test('connections of the second class are counted apart', () => {
  const engine = { ...pair.engine, secondClassConnections: 5 };
  assert.match(
    describeStatus({ ...pair, engine }),
    /^connections: 12 established \(5 of the second class\), 1 half-open$/m,
  );
});

for (const [state, text] of [
  ['alone', 'sync: alone, nobody to sync with'],
  ['joining', 'sync: joining, copying the table'],
  ['cutOff', 'sync: cut off, hears nobody while VRRP hears an active director'],
] as const) {
  test(`connection synchronisation that is ${state}`, () => {
    const lines = describeStatus({ ...pair, sync: { state, peers: [], counters: {} } }).split('\n');
    assert.equal(lines.filter((line) => line.startsWith('sync'))[0], text);
  });
}

test('a virtual router in fault says why, and synchronisation where it sends from', () => {
  const [web] = pair.virtualRouters;
  const faults = ['no route leads to any of its real servers'];
  const virtualRouters = [{ ...web!, state: 'fault', faults }] as const;
  const lines = describeStatus({ ...pair, virtualRouters, sync: { ...pair.sync, source: address('192.0.2.2') } }).split(
    '\n',
  );
  assert.equal(lines[4], 'web is in fault: no route leads to any of its real servers');
  assert.equal(lines[6], 'sync: in sync, from 192.0.2.2');
});

test('what is wrong with connection synchronisation, and who does not hear this director', () => {
  const peer = { address: address('192.0.2.3'), lastHeardMs: 40, inSync: false, gate: 'alone' } as const;
  const warning = 'look at firewalls';
  const lines = describeStatus({ ...pair, sync: { state: 'joining', warning, peers: [peer], counters: {} } }).split(
    '\n',
  );
  const from = lines.indexOf('sync: joining, copying the table');
  assert.deepEqual(lines.slice(from + 1, from + 3), [
    '  peer 192.0.2.3: not in sync, heard 0.0s ago, does not hear this director',
    '  warning: look at firewalls',
  ]);
});

test('connections in the order of ipvsadm -Lc', () => {
  const entry: ConnectionEntry = {
    family: 'ipv4',
    protocol: 'tcp',
    clientAddress: address('203.0.113.250'),
    clientPort: 40_001,
    virtualAddress: address('192.0.2.10'),
    virtualPort: 80,
    realAddress: address('10.0.0.21'),
    realPort: 8080,
    forwardingMethod: 'masquerade',
    state: 'ESTABLISHED',
    expiresInMs: 899_001,
    local: true,
  };
  const ipv6 = { clientAddress: address('2001:db8::1'), family: 'ipv6', state: 'FIN_WAIT' } as const;
  const header =
    'pro expire state       source                  virtual                 destination             owner\n';
  assert.equal(
    `${header}${describeConnection(entry)}${describeConnection({ ...entry, ...ipv6, expiresInMs: 0, local: false })}`,
    `pro expire state       source                  virtual                 destination             owner
TCP 15:00  ESTABLISHED 203.0.113.250:40001     192.0.2.10:80           10.0.0.21:8080          here
TCP 00:00  FIN_WAIT    [2001:db8::1]:40001     192.0.2.10:80           10.0.0.21:8080          learnt
`,
  );
});

test('a table pads to its widest cell, numbers to the right, without trailing blanks', () => {
  assert.deepEqual(
    formatTable(
      ['name', 'n', 'text'],
      [
        ['a', '1', 'x y'],
        ['longer', '100', ''],
      ],
    ),
    ['name      n  text', 'a         1  x y', 'longer  100'],
  );
  assert.deepEqual(formatTable(['only', 'titles'], []), ['only  titles']);
  assert.deepEqual(formatTable(['a', 'b'], [['x']]), ['a  b', 'x']);
});

test('options that fit are given back, what does not fit is wrong usage in one sentence', () => {
  const options = { file: { type: 'string', short: 'f' }, json: { type: 'boolean', default: false } } as const;
  const parse = (...args: string[]) => ({ ...parseOptions('check', args, options) });
  assert.deepEqual(parse('-f', 'x.conf'), { file: 'x.conf', json: false });
  assert.deepEqual(parse('--file=x.conf', '--json'), { file: 'x.conf', json: true });
  for (const [args, text] of [
    [['--fast'], "baton check: Unknown option '--fast'; see baton --help"],
    [['-x'], "baton check: Unknown option '-x'; see baton --help"],
    [['more'], "baton check: Unexpected argument 'more'; see baton --help"],
    [['-f'], "baton check: Option '-f, --file <value>' argument missing; see baton --help"],
    [['--json=yes'], "baton check: Option '--json' does not take an argument; see baton --help"],
    [['-f', '--json'], "baton check: Option '-f' argument is ambiguous; see baton --help"],
  ] as const) {
    assert.throws(() => parse(...args), new UsageError(text));
  }
});
