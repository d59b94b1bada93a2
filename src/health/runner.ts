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
  /** The reason, in words for people. */
  readonly reason: string;
}

export interface HealthRunnerParts extends CheckPorts {
  readonly clock: Clock;
  /** Returns a number in [0, 1), a different one each time, to spread the first checks. */
  readonly jitter: () => number;
}

/**
 * Upper bound of checks that run at once, over all services: it bounds sockets, far above the needs of a healthy pool.
 */
const concurrentChecksMax = 64;

/** Long compared with every hold-up of the event loop that is not a hang. */
const turnLateMsMax = 5_000;

interface Watched {
  readonly service: string;
  readonly realServer: string;
  readonly weight: number;
  /** Keyed by `checkKeys`. */
  readonly runs: Map<string, CheckRun>;
  alive: boolean;
}

interface Quorum {
  readonly rule: Pick<ConfiguredService, 'quorum' | 'hysteresis'>;
  held: boolean | undefined;
}

/**
 * Runs the checks of a configuration. A real server is alive while all its checks are up. A real server without checks,
 * or one that is not configured, counts as alive.
 */
export class HealthRunner {
  readonly #parts: HealthRunnerParts;
  readonly #slots = new Slots(concurrentChecksMax);
  readonly #listeners: ((change: HealthChange) => void)[] = [];
  /** Keyed by service and real server, see `watchKey`. */
  #watched = new Map<string, Watched>();
  /** Keyed by service. */
  #quorums = new Map<string, Quorum>();
  #lastTurnAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: HealthRunnerParts) {
    this.#parts = parts;
  }

  onChange(listener: (change: HealthChange) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * A check that was configured before (of the same service and real server, and of the same target) keeps its verdict
   * and takes the new timing; any other begins from the start.
   */
  configure(services: readonly ConfiguredService[]): void {
    const former = this.#watched;
    this.#watched = new Map();
    for (const service of services) {
      for (const server of service.realServers) {
        const name = watchKey(virtualServiceName(service), endpointName(server));
        // A real server that is listed twice is still one: the checks of the first entry hold.
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

  /** Whether the checks have stopped: one is overdue, and none has begun or ended, for longer than `turnLateMsMax`. */
  haveStopped(nowMs: number): boolean {
    if (nowMs - this.#lastTurnAtMs <= turnLateMsMax) return false;
    for (const { runs } of this.#watched.values()) {
      for (const run of runs.values()) if (nowMs - run.dueAtMs > turnLateMsMax) return true;
    }
    return false;
  }

  /** Checks at once what is down: the cause may have been this host's own, and be gone. */
  checkAgain(): void {
    for (const { runs } of this.#watched.values()) for (const run of runs.values()) run.hasten();
  }

  isAlive(service: string, realServer: string): boolean {
    return this.#watched.get(watchKey(service, realServer))?.alive ?? true;
  }

  /** True when enough of a service's real servers are alive, see `judgeQuorum`; false for an unknown service. */
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
      // A real server that begins with `alpha` has not gone down, so there is nothing to report.
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
      attempt: (each) => this.#attempt(each),
      onVerdict: (_up, reason) => {
        const watched = this.#watched.get(watchKey(service, realServer));
        if (watched !== undefined) this.#judge(watched, reason);
      },
    });
  }

  async #attempt(check: HealthCheck): Promise<string | undefined> {
    this.#lastTurnAtMs = this.#parts.clock.nowMs();
    const reason = await attemptCheck(check, this.#parts);
    this.#lastTurnAtMs = this.#parts.clock.nowMs();
    return reason;
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

/** Keys checks by their target; two with the same target are distinguished by their order. */
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
