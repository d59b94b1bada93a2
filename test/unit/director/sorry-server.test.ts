// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Director } from '../../../src/director/director.ts';
import type { Engine, EngineConfiguration, EngineCounters } from '../../../src/engine/engine.ts';
import { judgeQuorum } from '../../../src/health/quorum.ts';
import type { HealthChange } from '../../../src/health/runner.ts';
import type { Family } from '../../../src/lib/ip-address.ts';
import type { ConfiguredService } from '../../../src/model/configuration.ts';
import { endpointName } from '../../../src/model/virtual-service.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { address, configuration, realServer, router, serviceOf } from './configurations.ts';

const noCounters = { services: [], drops: {} } as unknown as EngineCounters;

/** A director between an engine, an election and a replication that only take notes, and checkers with given verdicts. */
class Bench {
  readonly configured: EngineConfiguration[] = [];
  readonly verified: string[] = [];
  readonly logged: string[] = [];
  readonly dead = new Set<string>();
  #services: readonly ConfiguredService[] = [];
  #report: (change: HealthChange) => void = () => {};
  readonly director = new Director({
    engine: {
      kind: 'portable',
      configure: async (configuration: EngineConfiguration) => {
        this.configured.push(configuration);
      },
      counters: async () => noCounters,
      close: async () => {},
    } as Partial<Engine> as Engine,
    election: {
      configure: async () => {},
      setGate: () => {},
      onActiveHeard: () => {},
      onTransition: () => {},
      handOver: async () => [],
      status: async () => [],
      stop: async () => {},
    },
    replication: {
      configure: async () => {},
      onGate: (listener) => listener(true),
      setActiveHeard: () => {},
      status: async () => ({ state: 'off', peers: [], counters: {} }),
      stop: async () => {},
    },
    health: {
      configure: (services) => {
        this.#services = services;
      },
      onChange: (listener) => {
        this.#report = listener;
      },
      checkAgain: () => {},
      isAlive: (_, name) => !this.dead.has(name),
      hasQuorum: () => this.#hasQuorum(),
      stop: () => {},
    },
    takeRouteSnapshot: () => (address) => ({ interface: address.startsWith('10.') ? 'eth1' : 'eth0', held: false }),
    verifyInterface: (name: string, families: ReadonlySet<Family>) => {
      this.verified.push(`${name} ${[...families].join('+')}`);
    },
    clock: new SimulatedTime(),
    log: (level, message, context) => {
      this.logged.push(`${level} ${message}${context === undefined ? '' : ` ${Object.values(context).join(' ')}`}`);
    },
    version: '0',
    processId: 1,
    configurationFile: 'pair.conf',
  });

  async judge(name: string, alive: boolean): Promise<void> {
    if (alive) this.dead.delete(name);
    else this.dead.add(name);
    this.#report({ service: 'tcp 192.0.2.10:80', realServer: name, alive, reason: 'test' });
    await setImmediate();
  }

  /** Whom the engine was told last to give new connections to, and everybody that it knows. */
  get pool(): { readonly chosen: string[]; readonly known: string[] } {
    const compiled = this.configured.at(-1)?.services[0];
    const servers = compiled?.service.realServers ?? [];
    const slots = compiled?.selector.shape === 'sequence' ? [...compiled.selector.slots] : [];
    return { chosen: slots.map((slot) => endpointName(servers[slot]!)), known: servers.map(endpointName) };
  }

  #hasQuorum(): boolean {
    const [service] = this.#services;
    const weights = service?.realServers.map((server) => (this.dead.has(endpointName(server)) ? 0 : server.weight));
    return judgeQuorum(undefined, service ?? {}, weights?.reduce((sum, weight) => sum + weight, 0) ?? 0);
  }
}

const sorryServer = { address: address('10.0.0.9'), port: 80, weight: 1, forwardingMethod: 'masquerade' } as const;

test('the sorry server serves while no real server does, and status tells', async () => {
  const bench = new Bench();
  await bench.director.apply(configuration([], [serviceOf({ sorryServer })]));
  const known = ['10.0.0.1:8080', '10.0.0.2:8080', '10.0.0.9:80'];
  const serving = async (): Promise<boolean | undefined> =>
    (await bench.director.status()).services[0]?.sorryServer?.serving;
  assert.deepEqual([bench.pool, await serving()], [{ chosen: ['10.0.0.1:8080', '10.0.0.2:8080'], known }, false]);
  await bench.judge('10.0.0.1:8080', false);
  assert.deepEqual([bench.pool, await serving()], [{ chosen: ['10.0.0.2:8080'], known }, false]);
  await bench.judge('10.0.0.2:8080', false);
  assert.deepEqual([bench.pool, await serving()], [{ chosen: ['10.0.0.9:80'], known }, true]);
  await bench.judge('10.0.0.1:8080', true);
  assert.deepEqual([bench.pool, await serving()], [{ chosen: ['10.0.0.1:8080'], known }, false]);
  assert.deepEqual(
    bench.logged.filter((line) => !line.includes(' is ')),
    [
      'warn the sorry server serves: too few real servers are up tcp 192.0.2.10:80 10.0.0.9:80',
      'info the real servers serve again tcp 192.0.2.10:80 10.0.0.9:80',
    ],
  );
});

test('a reload with weight 0 quiesces: no new connections, and the real server stays known', async () => {
  const bench = new Bench();
  await bench.director.apply(configuration([], [serviceOf()]));
  const [first, second] = serviceOf().realServers;
  const realServers = [{ ...first!, weight: 0 }, second!];
  await bench.director.apply(configuration([], [serviceOf({ realServers })]));
  assert.deepEqual(bench.pool, { chosen: ['10.0.0.2:8080'], known: ['10.0.0.1:8080', '10.0.0.2:8080'] });
  await bench.director.apply(configuration([], [serviceOf()]));
  assert.deepEqual(bench.pool.chosen, ['10.0.0.1:8080', '10.0.0.2:8080']);
});

test('the engine gets persistence, thresholds and one-packet scheduling as they are', async () => {
  const bench = new Bench();
  const service = serviceOf({
    protocol: 'udp',
    persistence: { timeoutMs: 50_000, prefixLength: 24 },
    onePacket: true,
    realServers: [realServer('10.0.0.1', { upperThreshold: 9, lowerThreshold: 5 })],
  });
  await bench.director.apply(configuration([], [service]));
  assert.deepEqual(bench.configured.at(-1)?.services[0]?.service, service);
  const [status] = (await bench.director.status()).services;
  assert.deepEqual(
    [status?.persistence, status?.onePacket, status?.realServers[0]?.upperThreshold, status?.sorryServer],
    [{ timeoutMs: 50_000, prefixLength: 24 }, true, 9, undefined],
  );
});

test('every interface is verified for the families of the services', async () => {
  const bench = new Bench();
  const services = [
    serviceOf(),
    serviceOf({ address: address('2001:db8:1::10'), realServers: [realServer('2001:db8:1::21')] }),
  ];
  await bench.director.apply(configuration([router('four', 1, ['192.0.2.10'])], services));
  assert.deepEqual(bench.verified, ['eth0 ipv4+ipv6', 'eth1 ipv4+ipv6']);
});
