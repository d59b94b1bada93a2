// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { ActiveHeard } from '../../../src/director/controls.ts';
import { Director, type DirectorParts } from '../../../src/director/director.ts';
import type { SyncStatus } from '../../../src/director/status.ts';
import type { EngineConfiguration, EngineCounters } from '../../../src/engine/engine.ts';
import type { HealthChange } from '../../../src/health/runner.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import type { VirtualRouterState } from '../../../src/model/virtual-router.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { configuration, router, service } from './configurations.ts';

const counters = { services: [], drops: {}, establishedConnections: 3 } as unknown as EngineCounters;

/** A director whose surroundings write down what they are asked, and refuse what a test tells them to. */
class Bench {
  readonly calls: string[] = [];
  readonly logged: string[] = [];
  /** Calls that reject, each as often as it stands here. */
  readonly refuse: string[] = [];
  readonly dead = new Set<string>();
  readonly forwardedTo: string[] = [];
  readonly leaseSlots: number[] = [];
  missingInterface = '';
  sync: SyncStatus = { state: 'off', peers: [], counters: {} };
  onGate: (open: boolean) => void = () => undefined;
  onActiveHeard: (heard: ActiveHeard | undefined) => void = () => undefined;
  onTransition: (from: VirtualRouterState, to: VirtualRouterState) => void = () => undefined;
  onHealth: (change: HealthChange) => void = () => undefined;
  readonly time = new SimulatedTime(1000);
  readonly director: Director;

  constructor(former: Partial<Pick<DirectorParts, 'predecessorPlan'>> = {}) {
    this.director = new Director({
      engine: {
        kind: 'portable',
        configure: (given) => {
          this.forwardedTo.push(servers(given));
          return this.#call('engine.configure');
        },
        counters: async () => counters,
        exportPage: async () => ({ batch: new Int32Array(0), next: undefined }),
        expectRecords: () => undefined,
        applyBatch: () => Promise.reject(new Error('not asked of a director')),
        onEvents: () => undefined,
        close: () => this.#call('engine.close'),
      },
      election: {
        configure: (assignments) => {
          this.leaseSlots.splice(0, 255, ...assignments.map(({ leaseSlot }) => leaseSlot));
          return this.#call(`election.configure ${assignments.map(({ router }) => router.name)}`);
        },
        setGate: (open) => void this.calls.push(`election.setGate ${open}`),
        onActiveHeard: (listener) => {
          this.onActiveHeard = listener;
        },
        onTransition: (listener) => {
          this.onTransition = listener;
        },
        handOver: async () => {
          await this.#call('election.handOver');
          return ['web'];
        },
        status: async () => [],
        stop: () => this.#call('election.stop'),
      },
      replication: {
        configure: (sync) => this.#call(`replication.configure ${sync?.interface ?? 'off'}`),
        onGate: (listener) => {
          this.onGate = listener;
        },
        setActiveHeard: (heard) => void this.calls.push(`replication.setActiveHeard ${heard?.sources}`),
        status: async () => this.sync,
        stop: () => this.#call('replication.stop'),
      },
      health: {
        configure: (services) => void this.calls.push(`health.configure ${services.length}`),
        onChange: (listener) => {
          this.onHealth = listener;
        },
        checkAgain: () => void this.calls.push('health.checkAgain'),
        isAlive: (_service, realServer) => !this.dead.has(realServer),
        hasQuorum: () => true,
        stop: () => void this.calls.push('health.stop'),
      },
      ...former,
      takeRouteSnapshot: () => () => ({ interface: 'eth0', held: false }),
      verifyInterface: (name) => {
        if (name === this.missingInterface) throw new Error(`there is no interface ${name}`);
      },
      clock: this.time,
      log: (level, message) => void this.logged.push(`${level} ${message}`),
      version: '1.2.3',
      processId: 42,
      configurationFile: '/etc/keepalived/keepalived.conf',
    });
  }

  /** The calls since the last time. */
  taken(): string[] {
    return this.calls.splice(0);
  }

  async #call(name: string): Promise<void> {
    this.calls.push(name);
    await setImmediate();
    const index = this.refuse.indexOf(name);
    if (index < 0) return;
    this.refuse.splice(index, 1);
    throw new Error(`${name} is refused`);
  }
}

/** The real servers that new connections go to, in turn. */
function servers({ services }: EngineConfiguration): string {
  return services
    .flatMap(({ service, selector }) => {
      assert.equal(selector.shape, 'sequence');
      return selector.shape === 'sequence' ? [...selector.slots].map((slot) => service.realServers[slot]!.address) : [];
    })
    .sort()
    .join(' ');
}

const first = configuration([router('web', 51, ['192.0.2.10'])], [service('192.0.2.10', ['192.0.2.21', '192.0.2.22'])]);
const second = configuration([router('mail', 52, ['192.0.2.11'])], [service('192.0.2.11', ['192.0.2.31'])], 'other');

test('the data path is ready before replication, and replication before the election', async () => {
  const bench = new Bench();
  await bench.director.apply(first);
  assert.deepEqual(bench.taken(), [
    'health.configure 1',
    'engine.configure',
    'replication.configure off',
    'election.configure web',
  ]);
});

test('a handover to which no peer has a copy of the sessions is one with a warning', async () => {
  const said = async (sync: SyncStatus): Promise<string[]> => {
    const bench = new Bench();
    bench.sync = sync;
    await bench.director.handOver();
    await setImmediate();
    return bench.logged.slice(1);
  };
  const peer = { address: '192.0.2.3' as IpAddress, lastHeardMs: 1, inSync: true };
  const warning =
    'warn handed over although no peer has said that it has a copy of the sessions: they break at a backup without one';
  assert.deepEqual(await said({ state: 'off', peers: [], counters: {} }), []);
  assert.deepEqual(await said({ state: 'inSync', peers: [{ ...peer, gate: 'inSync' }], counters: {} }), []);
  assert.deepEqual(await said({ state: 'inSync', peers: [{ ...peer, gate: 'joining' }], counters: {} }), [warning]);
  assert.deepEqual(await said({ state: 'alone', peers: [], counters: {} }), [warning]);
});

test('what VRRP hears goes from the election to replication', () => {
  const bench = new Bench();
  bench.onActiveHeard({ sources: ['192.0.2.3' as IpAddress], downIntervalMs: 3600 });
  bench.onActiveHeard(undefined);
  assert.deepEqual(bench.taken(), ['replication.setActiveHeard 192.0.2.3', 'replication.setActiveHeard undefined']);
});

test('the gate goes from replication to the election', () => {
  const bench = new Bench();
  bench.onGate(false);
  bench.onGate(true);
  assert.deepEqual(bench.taken(), ['election.setGate false', 'election.setGate true']);
});

test('a reload that cannot be planned changes nothing', async () => {
  const bench = new Bench();
  await bench.director.apply(first);
  bench.taken();
  bench.missingInterface = 'eth0';
  await assert.rejects(bench.director.apply(second), { message: 'there is no interface eth0' });
  assert.deepEqual(bench.taken(), []);
  assert.equal((await bench.director.status()).routerId, 'lb1');
});

for (const refused of ['engine.configure', 'replication.configure off', 'election.configure mail']) {
  test(`a reload that fails at ${refused} puts the former configuration back`, async () => {
    const bench = new Bench();
    await bench.director.apply(first);
    bench.taken();
    bench.refuse.push(refused);
    await assert.rejects(bench.director.apply(second), { message: `${refused} is refused` });
    assert.deepEqual(bench.taken().slice(-4), [
      'health.configure 1',
      'engine.configure',
      'replication.configure off',
      'election.configure web',
    ]);
    assert.equal(bench.forwardedTo.at(-1), '192.0.2.21 192.0.2.22');
    const { routerId, services } = await bench.director.status();
    assert.deepEqual({ routerId, service: services[0]!.name }, { routerId: 'lb1', service: 'tcp 192.0.2.10:80' });
    await bench.director.apply(second);
    assert.equal((await bench.director.status()).routerId, 'other');
  });
}

test("a first configuration that fails is the caller's to stop; nothing is put back", async () => {
  const bench = new Bench();
  bench.refuse.push('replication.configure off');
  await assert.rejects(bench.director.apply(first), { message: 'replication.configure off is refused' });
  assert.deepEqual(bench.taken(), ['health.configure 1', 'engine.configure', 'replication.configure off']);
});

test('a former configuration that cannot be put back is said', async () => {
  const bench = new Bench();
  await bench.director.apply(first);
  bench.refuse.push('engine.configure', 'engine.configure');
  await assert.rejects(bench.director.apply(second), { message: 'engine.configure is refused' });
  assert.deepEqual(bench.logged, ['error the former configuration could not be put back: engine.configure is refused']);
});

test('a dead real server is compiled out, one that came back is compiled in', async () => {
  const bench = new Bench();
  const change = (alive: boolean): void =>
    bench.onHealth({ service: 'tcp 192.0.2.10:80', realServer: '192.0.2.21:80', alive, reason: 'as a test wants' });
  await bench.director.apply(first);
  bench.dead.add('192.0.2.21:80');
  change(false);
  await setImmediate();
  await setImmediate();
  bench.dead.clear();
  change(true);
  await setImmediate();
  assert.deepEqual(bench.forwardedTo, ['192.0.2.21 192.0.2.22', '192.0.2.22', '192.0.2.21 192.0.2.22']);
  assert.deepEqual(bench.logged, ['warn real server 192.0.2.21:80 is down', 'info real server 192.0.2.21:80 is up']);
});

test('changes run one after the other, and one that is rejected does not stop those behind it', async () => {
  const bench = new Bench();
  bench.refuse.push('engine.configure');
  const outcomes = await Promise.allSettled([bench.director.apply(first), bench.director.apply(second)]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['rejected', 'fulfilled'],
  );
  assert.deepEqual(bench.taken(), [
    ...['health.configure 1', 'engine.configure'],
    ...['health.configure 1', 'engine.configure', 'replication.configure off', 'election.configure mail'],
  ]);
});

test('an engine that refuses a change of health is logged, and asked again at the next change', async () => {
  const bench = new Bench();
  await bench.director.apply(first);
  bench.taken();
  bench.refuse.push('engine.configure');
  const change = { service: 'tcp 192.0.2.10:80', realServer: '192.0.2.21:80', alive: false, reason: 'refused' };
  bench.onHealth(change);
  bench.onHealth(change);
  await bench.director.apply(first);
  assert.deepEqual(bench.taken().slice(0, 3), ['engine.configure', 'engine.configure', 'health.configure 1']);
  assert.equal(
    bench.logged.at(-1),
    "error the engine was not told of a real server's change: engine.configure is refused",
  );
});

test('stopping resigns first, while everything still works', async () => {
  const bench = new Bench();
  await bench.director.stop();
  assert.deepEqual(bench.taken(), ['election.stop', 'health.stop', 'replication.stop', 'engine.close']);
});

test('handing over gives the names of the virtual routers and logs them', async () => {
  const bench = new Bench();
  assert.deepEqual(await bench.director.handOver(), ['web']);
  assert.deepEqual(bench.logged, ['info handed over on request']);
});

test('the status joins what all parts say', async () => {
  const bench = new Bench();
  await bench.director.apply(first);
  bench.time.advanceBy(1234.4);
  const { services, ...rest } = await bench.director.status();
  assert.deepEqual(rest, {
    version: '1.2.3',
    routerId: 'lb1',
    processId: 42,
    uptimeMs: 1234,
    configurationFile: '/etc/keepalived/keepalived.conf',
    virtualRouters: [],
    sync: { state: 'off', peers: [], counters: {} },
    engine: { kind: 'portable', drops: {}, establishedConnections: 3 },
  });
  assert.deepEqual(
    services.map(({ name }) => name),
    ['tcp 192.0.2.10:80'],
  );
  assert.deepEqual(await bench.director.connections(0, 10), { batch: new Int32Array(0), next: undefined });
});

test('a director that goes on for another one leaves each virtual router its lease slot', async () => {
  const [web, mail] = [router('web', 51, ['192.0.2.10']), router('mail', 52, ['192.0.2.11'])];
  const predecessorPlan = {
    routers: [{ router: mail, leaseSlot: 0, installed: new Set(mail.addresses.map((one) => one.address)) }],
  };
  const bench = new Bench({ predecessorPlan });
  await bench.director.apply(configuration([web, mail]));
  assert.deepEqual(bench.leaseSlots, [1, 0]);
  await bench.director.apply(configuration([web]));
  assert.deepEqual(bench.leaseSlots, [1]);
});

test('what is down is checked again when a virtual router leaves fault or becomes active', () => {
  const bench = new Bench();
  bench.taken();
  for (const [from, to, expected] of [
    ['fault', 'backup', ['health.checkAgain']],
    ['backup', 'active', ['health.checkAgain']],
    ['active', 'fault', []],
    ['initialize', 'backup', []],
  ] as const) {
    bench.onTransition(from, to);
    assert.deepEqual(bench.taken(), expected, `${from} ${to}`);
  }
});
