// SPDX-License-Identifier: Apache-2.0
import type { Engine, EngineConfiguration, ExportPage } from '../engine/engine.ts';
import type { Clock } from '../lib/clock.ts';
import type { Family } from '../lib/ip-address.ts';
import type { Log } from '../lib/log.ts';
import type { Configuration, ConfiguredService } from '../model/configuration.ts';
import { endpointName, virtualServiceName } from '../model/virtual-service.ts';
import { compileService } from '../scheduler/compile.ts';
import { type AddressPlan, type Locate, type PreviousPlan, planAddresses } from './address-plan.ts';
import type { ElectionControl, HealthControl, ReplicationControl } from './controls.ts';
import { poolInEffect } from './pool.ts';
import { describeServices } from './service-status.ts';
import type { DirectorStatus } from './status.ts';
import { syncSettingsOf } from './sync-settings.ts';
import type { DirectorView } from './view.ts';

export interface DirectorParts {
  readonly engine: Engine;
  readonly election: ElectionControl;
  readonly replication: ReplicationControl;
  readonly health: HealthControl;
  /** The plan of the predecessor: its lease slots are in use, and its addresses are on interfaces. */
  readonly predecessorPlan?: PreviousPlan;
  /** Takes a snapshot of the host's routes. */
  readonly takeRouteSnapshot: () => Locate;
  /** Throws a sentence when the engine cannot work on an interface for these families. */
  readonly verifyInterface: (name: string, families: ReadonlySet<Family>) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  readonly processId: number;
  readonly configurationFile: string;
}

/** How long after a takeover a stray mid-stream packet may wait for its table entry instead of being reset. */
const gracePeriodMs = 10_000;

/**
 * Brings engine, election and replication in line with the configuration and the checkers' results. It has no packet,
 * no socket and no clock of its own.
 */
export class Director implements DirectorView {
  readonly #parts: DirectorParts;
  readonly #startedAtMs: number;
  #configuration: Configuration | undefined;
  #plan: AddressPlan | undefined;
  /** The services whose sorry server is in use. */
  #sorry = new Set<string>();
  #changes: Promise<void> = Promise.resolve();

  constructor(parts: DirectorParts) {
    this.#parts = parts;
    this.#startedAtMs = parts.clock.nowMs();
    parts.replication.onGate((open) => parts.election.setGate(open));
    parts.election.onActiveHeard((heard) => parts.replication.setActiveHeard(heard));
    parts.election.onTransition((from, to) => {
      // Checks fail for want of a link or a route of this host as well, and the next ones may be a minute away.
      if (from === 'fault' || to === 'active') parts.health.checkAgain();
    });
    parts.health.onChange((change) => {
      parts.log(change.alive ? 'info' : 'warn', `real server ${change.realServer} is ${change.alive ? 'up' : 'down'}`, {
        service: change.service,
        reason: change.reason,
      });
      this.#queue(() => this.#configureEngine()).catch((error: Error) => {
        parts.log('error', `the engine was not told of a real server's change: ${error.message}`);
      });
    });
  }

  /**
   * Starts with a configuration, or changes to another one while running. The data path is configured first, so that it
   * is ready when the election makes a virtual router active. Rejects with a sentence when that cannot be done; a
   * former configuration then stays, or is put back.
   */
  apply(configuration: Configuration): Promise<void> {
    return this.#queue(async () => {
      const { takeRouteSnapshot, verifyInterface, log } = this.#parts;
      const [formerConfiguration, formerPlan] = [this.#configuration, this.#plan];
      const plan = planAddresses(configuration, this.#plan ?? this.#parts.predecessorPlan, takeRouteSnapshot());
      for (const name of plan.interfaces) verifyInterface(name, plan.families);
      try {
        await this.#adopt(configuration, plan);
      } catch (error) {
        if (formerConfiguration !== undefined && formerPlan !== undefined) {
          await this.#adopt(formerConfiguration, formerPlan).catch((again: Error) => {
            log('error', `the former configuration could not be put back: ${again.message}`);
          });
        }
        throw error;
      }
    });
  }

  async handOver(): Promise<readonly string[]> {
    const names = await this.#parts.election.handOver();
    if (names.length > 0) {
      this.#parts.log('info', 'handed over on request', { virtualRouters: names });
      void this.#warnWithoutCopy();
    }
    return names;
  }

  connections(cursor: number, recordsMax: number): Promise<ExportPage> {
    return this.#parts.engine.exportPage(cursor, recordsMax);
  }

  async status(): Promise<DirectorStatus> {
    const { engine, election, replication, health, clock, version, processId, configurationFile } = this.#parts;
    const [{ services, ...counters }, virtualRouters, sync] = await Promise.all([
      engine.counters(),
      election.status(),
      replication.status(),
    ]);
    return {
      version,
      routerId: this.#configuration?.routerId ?? '',
      processId,
      uptimeMs: Math.round(clock.nowMs() - this.#startedAtMs),
      configurationFile,
      virtualRouters,
      sync,
      services: describeServices(this.#configuration?.services ?? [], services, health),
      engine: { kind: engine.kind, ...counters },
    };
  }

  /** Resigns first, so that the peer receives priority 0 while everything still works; then stops the rest. */
  async stop(): Promise<void> {
    const { engine, election, replication, health } = this.#parts;
    await election.stop();
    health.stop();
    await replication.stop();
    await engine.close();
  }

  /** A backup that has no copy breaks the sessions that it was handed. */
  async #warnWithoutCopy(): Promise<void> {
    const sync = await this.#parts.replication.status().catch(() => undefined);
    if (sync === undefined || sync.state === 'off' || sync.peers.some(({ gate }) => gate === 'inSync')) return;
    const sentence =
      'handed over although no peer has said that it has a copy of the sessions: they break at a backup without one';
    this.#parts.log('warn', sentence);
  }

  /** Changes run one after the other, so that a checker's result never overtakes a reload. */
  #queue(change: () => Promise<void>): Promise<void> {
    const done = this.#changes.then(change);
    this.#changes = done.catch(() => undefined);
    return done;
  }

  async #adopt(configuration: Configuration, plan: AddressPlan): Promise<void> {
    const { election, replication, health } = this.#parts;
    this.#configuration = configuration;
    this.#plan = plan;
    health.configure(configuration.services);
    await this.#configureEngine();
    await replication.configure(syncSettingsOf(configuration), configuration.services);
    await election.configure(plan.routers);
  }

  async #configureEngine(): Promise<void> {
    const { engine, health } = this.#parts;
    if (this.#configuration === undefined || this.#plan === undefined) return;
    const { services, timeouts, deadServerPolicy, sloppyTcp = false } = this.#configuration;
    const engineConfiguration: EngineConfiguration = {
      addresses: this.#plan.addresses,
      services: services.map((service) => {
        const name = virtualServiceName(service);
        const pool = poolInEffect(service, {
          isAlive: (realServer) => health.isAlive(name, realServer),
          hasQuorum: health.hasQuorum(name),
        });
        return compileService(pool.service, pool.isAvailable);
      }),
      timeouts,
      gracePeriodMs,
      sloppyTcp,
      ...(deadServerPolicy === undefined ? {} : { deadServerPolicy }),
    };
    await engine.configure(engineConfiguration);
    this.#logSorryServers(services);
  }

  /** Logs when a sorry server begins or stops serving, because the operator should look at the real servers. */
  #logSorryServers(services: readonly ConfiguredService[]): void {
    const { health, log } = this.#parts;
    const former = this.#sorry;
    this.#sorry = new Set();
    for (const service of services) {
      const name = virtualServiceName(service);
      if (service.sorryServer === undefined) continue;
      const context = { service: name, sorryServer: endpointName(service.sorryServer) };
      if (health.hasQuorum(name)) {
        if (former.has(name)) log('info', 'the real servers serve again', context);
        continue;
      }
      this.#sorry.add(name);
      if (!former.has(name)) log('warn', 'the sorry server serves: too few real servers are up', context);
    }
  }
}
