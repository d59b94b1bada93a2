// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../lib/clock.ts';
import type { CheckedRealServer, ConfiguredService, HealthCheck } from '../model/configuration.ts';
import { endpointName, virtualServiceName } from '../model/virtual-service.ts';
import { CheckRun } from './check-run.ts';
import type { CheckPorts } from './checkers/check-ports.ts';
import { attemptCheck, identifyCheck } from './checkers/checkers.ts';
import { judgeQuorum } from './quorum.ts';
import { Slots } from './slots.ts';

export interface HealthChange {
  /** `virtualServiceName` of the service. */
  readonly service: string;
  /** `endpointName` of the real server. */
  readonly realServer: string;
  readonly alive: boolean;
  /** Why, for people. */
  readonly reason: string;
}

export interface HealthRunnerParts extends CheckPorts {
  readonly clock: Clock;
  /** A number in [0, 1), another one each time: spreads the first checks. */
  readonly jitter: () => number;
}

/** How many checks run at once, over all services: a bound on sockets, far above what a healthy pool needs. */
const concurrentChecksMax = 64;

interface Watched {
  readonly service: string;
  readonly realServer: string;
  readonly weight: number;
  /** By what is checked, see `checkKeys`. */
  readonly runs: Map<string, CheckRun>;
  alive: boolean;
}

interface Quorum {
  readonly rule: Pick<ConfiguredService, 'quorum' | 'hysteresis'>;
  held: boolean | undefined;
}

/**
 * Runs the checks of a configuration. A real server is alive while all its checks are up, and so is one that has none
 * or that nobody configured.
 */
export class HealthRunner {
  readonly #parts: HealthRunnerParts;
  readonly #slots = new Slots(concurrentChecksMax);
  readonly #listeners: ((change: HealthChange) => void)[] = [];
  /** By service and real server. */
  #watched = new Map<string, Watched>();
  /** By service. */
  #quorums = new Map<string, Quorum>();

  constructor(parts: HealthRunnerParts) {
    this.#parts = parts;
  }

  onChange(listener: (change: HealthChange) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Checks that were there before (same service and real server, and the same is checked) keep their verdict and take on
   * their present timing; others begin afresh.
   */
  configure(services: readonly ConfiguredService[]): void {
    const former = this.#watched;
    this.#watched = new Map();
    for (const service of services) {
      for (const server of service.realServers) {
        const name = watchKey(virtualServiceName(service), endpointName(server));
        // Listed twice, it is still one real server: the first entry's checks hold.
        if (this.#watched.has(name)) continue;
        this.#watched.set(name, this.#watch(service, server, former.get(name)));
        former.delete(name);
      }
    }
    for (const { runs } of former.values()) stopAll(runs);
    const formerQuorums = this.#quorums;
    this.#quorums = new Map();
    for (const service of services) {
      const name = virtualServiceName(service);
      this.#quorums.set(name, { rule: service, held: formerQuorums.get(name)?.held });
      this.#judgeQuorum(name);
    }
    for (const watched of this.#watched.values()) this.#judge(watched, 'the configuration of its checks changed');
  }

  isAlive(service: string, realServer: string): boolean {
    return this.#watched.get(watchKey(service, realServer))?.alive ?? true;
  }

  /** Whether enough of a service's real servers are alive, see `judgeQuorum`. One that nobody configured has none. */
  hasQuorum(service: string): boolean {
    return this.#quorums.get(service)?.held ?? false;
  }

  stop(): void {
    this.#slots.dropWaiting();
    for (const { runs } of this.#watched.values()) stopAll(runs);
    this.#watched.clear();
    this.#quorums.clear();
  }

  #watch(service: ConfiguredService, server: CheckedRealServer, former: Watched | undefined): Watched {
    const watched: Watched = {
      service: virtualServiceName(service),
      realServer: endpointName(server),
      weight: server.weight,
      runs: former?.runs ?? new Map(),
      // One that begins with `alpha` is down without having gone down: there is nothing to report.
      alive: former?.alive ?? server.checks.every((check) => check.alpha !== true),
    };
    const checks = checkKeys(server.checks);
    for (const [key, run] of watched.runs) {
      if (checks.has(key)) continue;
      run.stop();
      watched.runs.delete(key);
    }
    for (const [key, check] of checks) {
      const run = watched.runs.get(key);
      if (run === undefined) watched.runs.set(key, this.#run(check, watched.service, watched.realServer));
      else run.retime(check);
    }
    return watched;
  }

  #run(check: HealthCheck, service: string, realServer: string): CheckRun {
    return new CheckRun(check, this.#parts.jitter(), {
      clock: this.#parts.clock,
      slots: this.#slots,
      attempt: (each) => attemptCheck(each, this.#parts),
      onVerdict: (_up, reason) => {
        const watched = this.#watched.get(watchKey(service, realServer));
        if (watched !== undefined) this.#judge(watched, reason);
      },
    });
  }

  #judgeQuorum(service: string): void {
    const quorum = this.#quorums.get(service);
    if (quorum === undefined) return;
    let liveWeight = 0;
    for (const each of this.#watched.values()) if (each.service === service && each.alive) liveWeight += each.weight;
    quorum.held = judgeQuorum(quorum.held, quorum.rule, liveWeight);
  }

  #judge(watched: Watched, reason: string): void {
    const alive = [...watched.runs.values()].every((run) => run.up);
    if (alive === watched.alive) return;
    watched.alive = alive;
    const { service, realServer } = watched;
    this.#judgeQuorum(service);
    for (const listener of this.#listeners) listener({ service, realServer, alive, reason });
  }
}

/** Checks by what they check; two that check the same are told apart by their order. */
function checkKeys(checks: readonly HealthCheck[]): Map<string, HealthCheck> {
  const keys = new Map<string, HealthCheck>();
  for (const check of checks) {
    const target = identifyCheck(check);
    let ordinal = 0;
    while (keys.has(`${target} #${ordinal}`)) ordinal += 1;
    keys.set(`${target} #${ordinal}`, check);
  }
  return keys;
}

function watchKey(service: string, realServer: string): string {
  return `${service} ${realServer}`;
}

function stopAll(runs: ReadonlyMap<string, CheckRun>): void {
  for (const run of runs.values()) run.stop();
}
