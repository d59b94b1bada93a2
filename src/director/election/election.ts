// SPDX-License-Identifier: Apache-2.0
import { shortenedIntervalMs } from '../../../vrrp/adoption.ts';
import { isSameFault } from '../../../vrrp/faults.ts';
import { handoverRecordOf } from '../../../vrrp/handover-record.ts';
import { nextDeadline, step } from '../../../vrrp/machine.ts';
import type { RouterAction, RouterEvent } from '../../../vrrp/state.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import { borrowedAddresses, routerKey } from '../../model/virtual-router.ts';
import type { RouterAssignment } from '../address-plan.ts';
import { BoundedLog } from '../bounded-log.ts';
import type { ElectionPorts, ReceivedAdvertisement } from '../ports.ts';
import { Advertising } from './advertising.ts';
import { Announcing } from './announcing.ts';
import type { ElectionFailure, ElectionHandoverRecord, ElectionView } from './election-view.ts';
import { InstalledAddresses } from './installed-addresses.ts';
import { noteSentence, shortenedIntervalSentence, transitionSentence } from './log-sentences.ts';
import { PauseWatch } from './pauses.ts';
import { Reception } from './reception.ts';
import { createRunningRouter, isHolding, type RunningRouter } from './running-router.ts';
import type { Observation } from './tracking/tracked-object.ts';
import { Tracking } from './tracking/tracking.ts';

/** The source of advertisements that cannot be sent yet. */
const unknownAddress = { ipv4: '0.0.0.0' as IpAddress, ipv6: '::' as IpAddress } as const;

/**
 * Runs any number of virtual routers on one clock: passes events to their machines, executes the actions in order, and
 * keeps one timer for the earliest deadline. All entry points may be called from within callbacks; events are queued.
 */
export class Election {
  readonly #ports: ElectionPorts;
  readonly #tracking: Tracking;
  readonly #addresses: InstalledAddresses;
  readonly #advertising: Advertising;
  readonly #announcing: Announcing;
  readonly #boundedLog: BoundedLog<string | undefined>;
  readonly #reception: Reception;
  /** By `routerKey`, in the order of the configuration. */
  #routers = new Map<string, RunningRouter>();
  readonly #queue: { readonly running: RunningRouter; readonly event: RouterEvent }[] = [];
  #draining = false;
  #stopped = false;
  #silent = false;
  #gateOpen = false;
  #armedForMs = Number.POSITIVE_INFINITY;
  #disarm: (() => void) | undefined;
  readonly #pauses: PauseWatch;

  constructor(ports: ElectionPorts, tracking = new Tracking(ports)) {
    this.#ports = ports;
    this.#tracking = tracking;
    this.#addresses = new InstalledAddresses(ports);
    this.#advertising = new Advertising(ports, (running, sent) => {
      if (sent !== undefined) this.#enqueue(running, { kind: 'advertisementSent', ...sent });
      this.#drain();
    });
    this.#announcing = new Announcing({
      clock: ports.clock,
      announce: (running, address) => this.#addresses.announce(running, address),
      nextAdvertisementMs: () => this.#nextAdvertisementMs(),
      isAdvertising: () => this.#advertising.pending,
    });
    this.#boundedLog = new BoundedLog(ports.clock, ports.log);
    this.#reception = new Reception(this.#boundedLog, (key) => this.#routers.get(key));
    ports.transport.onReceive((received) => this.#receive(received));
    this.#pauses = new PauseWatch(ports.clock, (forMs) => this.#goOn(forMs));
  }

  /**
   * Makes these the virtual routers. One that is running already keeps its state and takes the changes in place; one
   * that is no longer there resigns; a new one starts.
   */
  configure(assignments: readonly RouterAssignment[]): readonly ElectionFailure[] {
    this.#tracking.observe({ kind: 'poll' });
    this.#tracking.avoid(borrowedAddresses(assignments.map(({ router }) => router)));
    const wanted = new Map(assignments.map((assignment) => [routerKey(assignment.router), assignment]));
    for (const [key, running] of this.#routers) {
      const version = wanted.get(key)?.router.version;
      // Versions 2 and 3 do not understand each other, so a virtual router that changes its version is stopped and
      // started.
      if (version !== running.assignment.router.version) this.#remove(key, running);
    }
    for (const [key, assignment] of wanted) {
      const running = this.#routers.get(key);
      if (running === undefined) this.#start(this.#create(assignment));
      else this.#reconfigure(running, assignment);
    }
    this.#routers = new Map([...wanted.keys()].map((key) => [key, this.#routers.get(key)!]));
    this.#drain();
    return assignments.flatMap(({ router }) => {
      const sentence = this.#tracking.failureOf(router);
      return sentence === undefined ? [] : [{ router: router.name, sentence }];
    });
  }

  /** Open: the connection table is a proven copy, so an active router may be preempted (P3). Closed at first. */
  setGate(open: boolean): void {
    if (open === this.#gateOpen) return;
    this.#gateOpen = open;
    for (const running of this.#routers.values()) this.#enqueue(running, { kind: open ? 'gateOpened' : 'gateClosed' });
    this.#drain();
  }

  /**
   * Every active virtual router resigns, and does not preempt until it has been active again. Gives their names. VRRP
   * does not say whether a backup exists: if there is none, the router is active again after an active down interval.
   */
  handOver(): readonly string[] {
    const active = [...this.#routers.values()].filter(({ state }) => state.kind === 'active');
    for (const running of active) this.#enqueue(running, { kind: 'handoverRequested' });
    this.#drain();
    return active.map(({ assignment }) => assignment.router.name);
  }

  /** Ends the hold of `handOver`: preemption is possible again. */
  releaseHold(): void {
    for (const running of this.#routers.values()) this.#enqueue(running, { kind: 'holdReleased' });
    this.#drain();
  }

  /** The host has changed, or may have. */
  observe(observation: Observation): void {
    this.#tracking.observe(observation);
    for (const running of this.#routers.values()) this.#assess(running);
    this.#drain();
  }

  /** Resigns everything. Resolves when the last advertisement has left or failed; the transport is the caller's. */
  stop(): Promise<void> {
    this.configure([]);
    this.#stopped = true;
    this.#disarm?.();
    this.#pauses.end();
    this.#armedForMs = Number.POSITIVE_INFINITY;
    this.#boundedLog.close();
    return this.#advertising.whenIdle();
  }

  /** The record from which a successor can continue. */
  handoverRecord(): ElectionHandoverRecord {
    const routers = [...this.#routers.values()].map(({ assignment, state }) => {
      return { assignment, record: handoverRecordOf(state) ?? null };
    });
    return { gateOpen: this.#gateOpen, routers };
  }

  /** From now on sends and changes nothing, because a successor continues in its place. */
  fallSilent(): void {
    this.#stopped = true;
    this.#silent = true;
    this.#pauses.end();
    this.#boundedLog.close();
    this.#routers.clear();
    this.#arm();
  }

  /**
   * Continues where the predecessor stopped. The `configure` that follows is a reload to the virtual routers that run
   * by then.
   */
  continueFrom({ routers }: ElectionHandoverRecord): void {
    this.#tracking.avoid(borrowedAddresses(routers.map(({ assignment }) => assignment.router)));
    for (const { assignment, record } of routers) {
      const running = this.#create(assignment);
      if (record === null || running.assessment.faults.length > 0) {
        this.#start(running);
        continue;
      }
      // The predecessor's addresses belong to this router now: when its machine releases them, they are removed.
      for (const each of assignment.router.addresses) {
        if (assignment.installed.has(each.address)) running.present.set(each.address, each);
      }
      this.#enqueue(running, { kind: 'succession', record });
    }
    this.#drain();
  }

  view(): ElectionView {
    return {
      gateOpen: this.#gateOpen,
      routers: [...this.#routers.values()],
      unattributed: this.#reception.view(),
    };
  }

  #create(assignment: RouterAssignment): RunningRouter {
    const { router } = assignment;
    const { primaryAddress = unknownAddress[router.family] } = this.#tracking.assess(router);
    const running = createRunningRouter(assignment, primaryAddress, this.#ports.clock.nowMs());
    this.#reception.expectOn(router);
    this.#routers.set(routerKey(router), running);
    if (this.#gateOpen) this.#enqueue(running, { kind: 'gateOpened' });
    this.#assess(running);
    return running;
  }

  #start(running: RunningRouter): void {
    // A killed predecessor may have left its lease and addresses; a router that is not active must not forward or
    // answer.
    this.#ports.leaseWriter.revoke(running.assignment.leaseSlot);
    this.#addresses.clear(running);
    this.#enqueue(running, { kind: 'startup' });
  }

  #remove(key: string, running: RunningRouter): void {
    this.#enqueue(running, { kind: 'shutdown' });
    this.#drain();
    this.#routers.delete(key);
  }

  #reconfigure(running: RunningRouter, assignment: RouterAssignment): void {
    const formerSlot = running.assignment.leaseSlot;
    running.assignment = assignment;
    if (formerSlot !== assignment.leaseSlot) this.#moveLease(running, formerSlot);
    this.#assess(running, true);
    this.#drain();
    // The machine has acquired added addresses and released removed ones; others may have another prefix or interface.
    if (isHolding(running)) this.#addresses.rearrange(running);
  }

  #moveLease({ assignment, state }: RunningRouter, formerSlot: number): void {
    const { leaseWriter } = this.#ports;
    leaseWriter.revoke(formerSlot);
    if (state.kind === 'active' && state.holding) leaseWriter.grant(assignment.leaseSlot, state.leaseUntilMs);
  }

  /** Tells a machine about changes of its host, and about its configuration where that has changed too. */
  #assess(running: RunningRouter, isReconfigured = false): void {
    const { router } = running.assignment;
    const before = running.assessment;
    const found = this.#tracking.assess(router);
    const { primaryAddress = before.primaryAddress, effectivePriority, faults } = found;
    running.assessment = { primaryAddress, effectivePriority, faults };
    if (isReconfigured || primaryAddress !== before.primaryAddress) {
      this.#enqueue(running, { kind: 'configurationChanged', router, primaryAddress, effectivePriority });
    } else if (effectivePriority !== before.effectivePriority) {
      this.#enqueue(running, { kind: 'priorityChanged', effectivePriority });
    }
    // Faults are raised before others are cleared, so that a router does not take part for an instant in between.
    for (const reason of faults) {
      const isKnown = before.faults.some((each) => isSameFault(each, reason));
      if (!isKnown) this.#enqueue(running, { kind: 'faultRaised', reason });
    }
    for (const reason of before.faults) {
      const remains = faults.some((each) => isSameFault(each, reason));
      if (!remains) this.#enqueue(running, { kind: 'faultCleared', reason });
    }
  }

  #receive(received: ReceivedAdvertisement): void {
    if (this.#stopped) return;
    const heard = this.#reception.receive(received);
    if (heard === undefined) return;
    const { priority, intervalMs } = heard.advertisement;
    const { source } = received;
    this.#enqueue(heard.running, { kind: 'advertisementReceived', source, priority, intervalMs });
    this.#drain();
  }

  #enqueue(running: RunningRouter, event: RouterEvent): void {
    this.#queue.push({ running, event });
  }

  /** One event after the other, however deep the callbacks of their actions reach; then the timer is set again. */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        if (this.#silent) continue;
        const { state, actions } = step(next.running.state, next.event, this.#ports.clock.nowMs());
        next.running.state = state;
        for (const action of actions) this.#execute(next.running, action);
        if (next.event.kind === 'advertisementReceived') this.#warnOfShortenedInterval(next.running, next.event.source);
      }
    } finally {
      this.#draining = false;
    }
    this.#arm();
    this.#announcing.run();
  }

  /** `source`: the sender of the advertisement that was received. */
  #warnOfShortenedInterval({ state, assignment }: RunningRouter, source: IpAddress): void {
    const heard = state.kind === 'backup' && state.heard?.source === source ? state.heard : undefined;
    const adoptedMs = heard === undefined || state.kind !== 'backup' ? undefined : shortenedIntervalMs(state);
    if (heard === undefined || adoptedMs === undefined) return;
    const sentence = shortenedIntervalSentence(source, heard.intervalMs, adoptedMs);
    const { name } = assignment.router;
    this.#boundedLog.write(`${name} shortenedInterval`, 'warn', sentence, name);
  }

  #arm(): void {
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const { state } of this.#routers.values()) {
      earliestMs = Math.min(earliestMs, nextDeadline(state) ?? Number.POSITIVE_INFINITY);
    }
    if (earliestMs === this.#armedForMs) return;
    this.#disarm?.();
    this.#disarm = undefined;
    this.#armedForMs = earliestMs;
    if (earliestMs === Number.POSITIVE_INFINITY) return;
    this.#disarm = this.#ports.clock.callAt(earliestMs, () => this.#timer());
  }

  #nextAdvertisementMs(): number {
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const { state } of this.#routers.values()) {
      if (state.kind === 'active') earliestMs = Math.min(earliestMs, state.adverTimerAtMs);
    }
    return earliestMs;
  }

  #timer(): void {
    this.#armedForMs = Number.POSITIVE_INFINITY;
    this.#disarm = undefined;
    // The timer of one virtual router may have been due before the next look, and another one's is late by then.
    this.#pauses.look();
    const nowMs = this.#ports.clock.nowMs();
    for (const running of this.#routers.values()) {
      const dueMs = nextDeadline(running.state);
      if (dueMs !== undefined && dueMs <= nowMs) this.#enqueue(running, { kind: 'timer' });
    }
    this.#drain();
  }

  #goOn(forMs: number): void {
    for (const running of this.#routers.values()) this.#enqueue(running, { kind: 'stoodStill', forMs });
    this.#drain();
  }

  #execute(running: RunningRouter, action: RouterAction): void {
    const { leaseWriter } = this.#ports;
    const { leaseSlot } = running.assignment;
    switch (action.kind) {
      case 'sendAdvertisement':
        this.#advertising.send(running, action.priority, action.intervalMs);
        break;
      case 'grantLease':
        leaseWriter.grant(leaseSlot, action.untilMs);
        break;
      case 'revokeLease':
        leaseWriter.revoke(leaseSlot);
        break;
      case 'acquireAddresses':
        this.#addresses.install(running, action.addresses);
        break;
      case 'releaseAddresses':
        this.#announcing.withdraw(running, action.addresses);
        this.#addresses.uninstall(running, action.addresses);
        break;
      case 'announce':
        this.#announcing.add(running, action.addresses);
        this.#announcing.run();
        break;
      case 'notify':
      case 'note':
        this.#report(running, action);
        break;
    }
  }

  #report(running: RunningRouter, action: Extract<RouterAction, { kind: 'notify' | 'note' }>): void {
    const { onChange } = this.#ports;
    const { name } = running.assignment.router;
    if (action.kind === 'note') {
      const [level, sentence] = noteSentence(action.note);
      this.#boundedLog.write(`${name} ${action.note}`, level, sentence, name);
      if (action.note === 'acquired') onChange(running, { kind: 'acquired' });
      return;
    }
    running.reason = action.reason;
    running.transitions += 1;
    if (action.to === 'active') running.becameActive += 1;
    const kind = `${name} ${action.from} ${action.to} ${action.reason}`;
    this.#boundedLog.write(kind, 'info', transitionSentence(action), name);
    onChange(running, { kind: 'transition', from: action.from, reason: action.reason });
  }
}
