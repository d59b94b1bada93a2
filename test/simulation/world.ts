// SPDX-License-Identifier: Apache-2.0

import { readU16 } from '../../src/lib/bytes.ts';
import { mixWord } from '../../src/lib/hash.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { createPrng } from '../../src/lib/prng.ts';
import { vrrpGroups } from '../../src/model/virtual-router.ts';
import type { FlatRouter } from '../support/election.ts';
import { SimulatedTime } from '../support/simulated-time.ts';
import { addressOf, gateDelayMs, type Mutation, SimulatedDirector } from './director.ts';
import { type EngineTimes, keyOf } from './engine.ts';
import { Hearing } from './hearing.ts';
import { type Channel, type Flight, Network } from './network.ts';
import type { LinkCondition, Plan } from './plan.ts';
import { Rules, syncSilenceMs } from './rules.ts';
import type { Session } from './session.ts';
import { Sessions } from './sessions.ts';
import type { Transcript } from './transcript.ts';

/**
 * Short enough for the entries that a fault has left behind to expire before the tables are compared, and long enough
 * for a copy to outlive a takeover although a third of its timeout has passed since its last refresh.
 */
function engineTimes(plan: Plan): EngineTimes {
  return { establishedMs: 2500 + 6 * plan.intervalMaxMs, closedMs: 800, halfOpenMs: 800, graceMs: 300 };
}

/** A session that has been established for longer has been replicated. */
const replicatedAfterMs = 300;

/** Of a director; `process` is what the director process holds: its event loop, the sync thread and the engine thread. */
export type Part = 'vrrp' | 'sync' | 'engine' | 'main' | 'process';

/** A failure in a run of the style `single`. */
export interface Failure {
  readonly sinceMs: number;
  /** Datagrams may be lost: what has been published need not have arrived. */
  readonly cutsWire: boolean;
}

/** When the vrrp process must have handed over what such a part keeps from its work: the sign of life, and two looks. */
const hangMaxMs = { engine: 700, process: 700, sync: 750, main: 5_200 };

/** Everything that exists in a run: directors, network, switch, clients, and the rules that watch them. */
export class World {
  readonly time = new SimulatedTime(10_000);
  readonly plan: Plan;
  readonly times: EngineTimes;
  readonly rules: Rules;
  readonly sessions: Sessions;
  /** The hash of everything that happened, in order. */
  digest = 0;
  /** The failure during which sessions are watched; undefined when they are not. */
  failure: Failure | undefined;
  readonly #mutation: Mutation;
  readonly #transcript: Transcript;
  readonly #network: Network;
  readonly #hearing = new Hearing();
  readonly #directors = new Map<string, SimulatedDirector>();
  /** The configuration with which each director starts again. */
  readonly #configured: Map<string, readonly FlatRouter[]>;
  readonly #switch = new Map<number, string>();
  readonly #syncHeard = new Map<string, { readonly lastMs: number; readonly sinceMs: number }>();
  readonly #dice;
  #epoch = 1000;
  #settled = false;

  constructor(plan: Plan, transcript: Transcript, mutation: Mutation) {
    this.plan = plan;
    this.times = engineTimes(plan);
    this.#transcript = transcript;
    this.#mutation = mutation;
    this.#configured = new Map(plan.routers);
    this.#dice = createPrng(plan.seed ^ 0x51ed_270b);
    this.#network = new Network(this.time, createPrng(plan.seed ^ 0x2545_f491), plan.link);
    this.rules = new Rules({
      nowMs: () => this.time.nowMs(),
      hearing: this.#hearing,
      director: (name) => this.#directors.get(name),
      names: plan.names,
      isOver: (key) => this.sessions.isOver(key),
      syncHeardMs: (from, to) => this.#syncHeardMs(`${from} ${to}`),
      write: (director, text) => this.write(director, text),
    });
    this.sessions = new Sessions(
      {
        time: this.time,
        dice: createPrng(plan.seed ^ 0x7f4a_7c15),
        times: this.times,
        routers: this.routerCount,
        engineAt: (router) => this.#directors.get(this.#switch.get(router) ?? ''),
        onForwarded: (session, director) => this.mix(session.number * 8 + director.charCodeAt(0)),
        onEstablished: (session, director) => this.#noteEstablished(session, director),
        onBroken: (session, director) => this.#judgeBroken(session, director),
      },
      plan.sessions,
    );
  }

  get routerCount(): number {
    return this.plan.routers.get('a')!.length;
  }

  director(name: string): SimulatedDirector | undefined {
    return this.#directors.get(name);
  }

  get directors(): readonly SimulatedDirector[] {
    return [...this.#directors.values()];
  }

  others(name: string): string[] {
    return this.plan.names.filter((other) => other !== name);
  }

  write(director: string, text: string): void {
    this.#transcript.write(this.time.nowMs(), director, text);
  }

  mix(word: number): void {
    this.digest = mixWord(mixWord(this.digest, word), Math.round(this.time.nowMs() * 1000));
  }

  /** Runs what is due, promises included. Stops at the first violation. */
  async run(durationMs: number): Promise<void> {
    const untilMs = this.time.nowMs() + durationMs;
    while (this.rules.violation === undefined) {
      this.#settled = false;
      if (!this.time.runUntil(() => this.#settled || this.rules.violation !== undefined, untilMs)) return;
      for (let turn = 0; turn < 4; turn += 1) await null;
    }
  }

  later(delayMs: number, task: () => void): void {
    this.time.callAt(this.time.nowMs() + delayMs, task);
  }

  start(name: string): void {
    if (this.#directors.has(name)) return;
    const routers = this.#configured.get(name)!;
    this.#epoch += 1;
    this.write(name, `starts: ${routers.map(describeRouter).join('; ')}`);
    this.rules.started(name, routers);
    const director = new SimulatedDirector({
      name,
      time: this.time,
      dice: this.#dice,
      routers,
      times: this.times,
      epoch: this.#epoch,
      rules: this.rules,
      mutation: this.#mutation,
      sendAdvertisement: (...args) => this.#sendAdvertisement(...args),
      sendDatagram: (from, datagram) => this.#sendDatagram(from, datagram),
      onAnnounced: (from, address) => this.#learnPlace(from, address),
      onSettled: () => {
        this.#settled = true;
      },
      write: (from, text) => this.write(from, text),
    });
    this.#directors.set(name, director);
  }

  kill(name: string): void {
    const director = this.#directors.get(name);
    if (director === undefined) return;
    this.#directors.delete(name);
    director.kill();
    this.rules.died(name);
  }

  shutDown(name: string): void {
    const director = this.#directors.get(name);
    director?.shutDown(() => {
      if (this.#directors.get(name) !== director) return;
      this.write(name, 'has stopped');
      this.kill(name);
    });
  }

  beginFailure(cutsWire: boolean): void {
    this.rules.failing();
    this.sessions.loseUnknown((key) => this.directors.some(({ engine }) => engine.hasKey(key)));
    this.failure = { sinceMs: this.time.nowMs(), cutsWire };
  }

  restartInPlace(name: string, downMs: number): void {
    this.#epoch += 1;
    this.#directors.get(name)?.restartInPlace(downMs, this.#epoch);
  }

  freeze(name: string, part?: Part): void {
    const director = this.#directors.get(name);
    if (director === undefined) return;
    const { vrrpHost, mainHost, syncHost, engineHost } = director;
    const parts = { vrrp: [vrrpHost], main: [mainHost], sync: [syncHost], engine: [engineHost] };
    const hosts = part === undefined ? director.hosts : part === 'process' ? director.hosts.slice(1) : parts[part];
    for (const host of hosts) host.freeze();
    // Beside another failure nobody may be there to take over.
    const isSingle = this.plan.style === 'single';
    if (isSingle && part !== undefined && part !== 'vrrp') this.#watchHang(director, part);
  }

  /** Every director stands still at the same time, as virtual machines of one host do. */
  stallAll(forMs: number): void {
    for (const name of this.plan.names) this.freeze(name);
    this.later(forMs, () => {
      const stalled = this.directors.filter(({ vrrpHost }) => vrrpHost.frozen);
      if (stalled.length < this.directors.length) return;
      for (const { name } of stalled) this.thaw(name);
      if (this.plan.style === 'single') this.rules.wentOnTogether();
    });
  }

  /** A part that stands still for longer than its watch allows must not leave its director active. */
  #watchHang(director: SimulatedDirector, part: keyof typeof hangMaxMs): void {
    const { vrrpHost, mainHost, syncHost, engineHost } = director;
    const hung = { main: mainHost, process: mainHost, sync: syncHost, engine: engineHost }[part];
    const sinceMs = this.time.nowMs();
    this.later(hangMaxMs[part], () => {
      const isSame = this.failure?.sinceMs === sinceMs && this.#directors.get(director.name) === director;
      if (isSame && hung.frozen && !vrrpHost.frozen) this.rules.checkHung(director.name, part, sinceMs);
    });
  }

  thaw(name: string): void {
    const director = this.#directors.get(name);
    if (director === undefined || !director.hosts.some(({ frozen }) => frozen)) return;
    this.write(name, 'goes on');
    if (director.vrrpHost.frozen) this.rules.thawing(name);
    if (director.syncHost.frozen) this.rules.syncThawing(name, director.vrrpHost.frozen);
    // The kernel may run its processes in any order.
    const hosts = [...director.hosts];
    while (hosts.length > 0) hosts.splice(this.#dice.below(hosts.length), 1)[0]!.thaw();
    for (let slot = 0; slot < this.routerCount; slot += 1) this.rules.checkLeases(slot);
  }

  mute(name: string, mute: boolean): void {
    const director = this.#directors.get(name);
    if (director !== undefined) director.mute = mute;
  }

  remember(name: string, routers: readonly FlatRouter[]): void {
    this.#configured.set(name, routers);
    this.write(name, `is reloaded: ${routers.map(describeRouter).join('; ')}`);
  }

  worsen(channel: Channel, from: string, to: string, change: Partial<LinkCondition>): void {
    this.#network.worsen(channel, from, to, change);
  }

  /** The network is whole, every director runs. */
  heal(): void {
    this.write('-', 'all is healed');
    this.#network.heal();
    for (const name of this.plan.names) {
      this.mute(name, false);
      this.thaw(name);
      this.start(name);
    }
  }

  #sendAdvertisement(from: string, interfaceName: string, router: number, message: Uint8Array, leaves: boolean): void {
    if (!leaves) {
      for (const to of this.others(from)) this.#hearing.lost(router, from, to);
      return;
    }
    const version = message[0]! >>> 4;
    const intervalMs = version === 3 ? (readU16(message, 4) & 0x0fff) * 10 : message[5]! * 1000;
    this.#transcript.routine(this.time.nowMs(), from, `vr${router} advertises ${message[2]} every ${intervalMs} ms`);
    this.rules.advertised(from, router, message[2]!, intervalMs);
    this.mix((message[2]! << 8) | router);
    const family = this.plan.routers.get(from)![router]!.family;
    for (const to of this.others(from)) {
      const flight: Flight = { channel: 'vrrp', from, to, sentAtMs: this.time.nowMs() };
      const received = {
        interface: interfaceName,
        source: addressOf(from, family),
        destination: vrrpGroups[family],
        ttl: 255,
        message,
      };
      this.#network.send(
        flight,
        (copy) => this.#arrive(flight, router, copy, (director) => director.hear(received)),
        () => this.#hearing.lost(router, from, to, !this.#network.condition('vrrp', from, to).up),
      );
    }
  }

  #arrive(flight: Flight, router: number, copy: number, hear: (director: SimulatedDirector) => void): void {
    const { from, to, sentAtMs } = flight;
    const director = this.#directors.get(to);
    if (director === undefined) return;
    if (copy === 0) this.#hearing.arrived(router, from, to, sentAtMs, this.time.nowMs());
    const taken = director.vrrpHost.deliver(() => {
      this.mix((from.charCodeAt(0) << 8) | to.charCodeAt(0));
      if (copy === 0) this.#hearing.read(router, from, to, sentAtMs);
      hear(director);
      this.rules.checkLeases(router);
    });
    if (taken || copy > 0) return;
    this.#hearing.read(router, from, to, sentAtMs);
    this.#hearing.lost(router, from, to);
  }

  #sendDatagram(from: string, datagram: Uint8Array): void {
    const source = addressOf(from, 'ipv4');
    for (const to of this.others(from)) {
      const arrive = (): void => {
        const director = this.#directors.get(to);
        director?.syncHost.deliver(() => {
          this.mix(datagram.length);
          this.#hearSync(`${from} ${to}`);
          director.receive(datagram, source);
        });
      };
      this.#network.send({ channel: 'sync', from, to, sentAtMs: this.time.nowMs() }, arrive, () => {});
    }
  }

  #hearSync(path: string): void {
    const nowMs = this.time.nowMs();
    const before = this.#syncHeard.get(path);
    const anew = before === undefined || nowMs - before.lastMs >= syncSilenceMs;
    this.#syncHeard.set(path, { lastMs: nowMs, sinceMs: anew ? nowMs : before.sinceMs });
  }

  /** For the election, a peer that is heard again after a silence counts as unheard until the gate has been closed. */
  #syncHeardMs(path: string): number {
    const heard = this.#syncHeard.get(path);
    const isKnown = heard !== undefined && this.time.nowMs() - heard.sinceMs > gateDelayMs;
    return isKnown ? heard.lastMs : Number.NEGATIVE_INFINITY;
  }

  #learnPlace(director: string, address: IpAddress): void {
    const router = this.plan.routers.get(director)!.findIndex(({ addresses }) => addresses[0]!.address === address);
    if (router < 0 || this.#switch.get(router) === director) return;
    this.write(director, `announces ${address}: the switch follows`);
    this.#switch.set(router, director);
  }

  #noteEstablished(session: Session, name: string): void {
    const director = this.#directors.get(name);
    if (session.safe && director !== undefined && !director.sent.has(keyOf(session.record)))
      this.rules.establishedUnpublished(name, session.number);
  }

  #judgeBroken(session: Session, director: string): void {
    this.write(director, `resets session ${session.number} of vr${session.leaseSlot}`);
    if (this.plan.style !== 'single' || this.failure === undefined || session.lost) return;
    const { sinceMs, cutsWire } = this.failure;
    const text = `session ${session.number} of vr${session.leaseSlot} is reset by ${director}`;
    if (session.establishedMs < Math.min(sinceMs, this.time.nowMs()) - replicatedAfterMs) {
      this.rules.break('no broken session', text);
    } else if (session.safe && (!cutsWire || session.establishedMs < sinceMs))
      this.rules.break('youngest session', text);
  }
}

function describeRouter(router: FlatRouter): string {
  const { name, version, family, priority, advertIntervalMs, preempt, preemptDelayMs, startAs } = router;
  const delay = preemptDelayMs > 0 ? ` after ${preemptDelayMs} ms` : '';
  return `${name} v${version} ${family} ${startAs} priority ${priority} every ${advertIntervalMs} ms ${
    preempt ? `preempts${delay}` : 'does not preempt'
  }`;
}
