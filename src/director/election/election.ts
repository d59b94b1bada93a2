// SPDX-License-Identifier: Apache-2.0
import { handoverRecordOf } from '../../../vrrp/handover-record.ts';
import { climbLadder, type RejectionReason } from '../../../vrrp/ladder.ts';
import { nextDeadline, step } from '../../../vrrp/machine.ts';
import type { RouterAction, RouterEvent } from '../../../vrrp/state.ts';
import { familyOf, type IpAddress } from '../../lib/ip-address.ts';
import type { ElectionPorts, ReceivedAdvertisement } from '../ports.ts';
import { ElectedAddresses } from './elected-addresses.ts';
import type { ElectionFailure, ElectionHandoverRecord, ElectionView } from './election-view.ts';
import { addressListSentence, noteSentence, rejectionSentence, transitionSentence } from './log-sentences.ts';
import { addressMessages, advertisementOf } from './packets.ts';
import {
  adoptConfiguration,
  assignmentOf,
  createRunningRouter,
  type ElectedRouter,
  electRouter,
  identityOf,
  listenerKey,
  type RunningRouter,
  viewRouter,
} from './running-router.ts';
import { Segments, unknownAddress } from './segments.ts';

/**
 * Runs any number of virtual routers on one clock: gives their machines events, executes the actions in order, and
 * keeps one timer for the earliest deadline. All entry points may be called from within callbacks; events queue up.
 */
export class Election {
  readonly #ports: ElectionPorts;
  readonly #segments: Segments;
  readonly #addresses: ElectedAddresses;
  /** By identity, in the order of the configuration. */
  #routers = new Map<string, RunningRouter>();
  readonly #listeners = new Map<string, RunningRouter>();
  readonly #queue: { readonly router: RunningRouter; readonly event: RouterEvent }[] = [];
  #draining = false;
  #stopped = false;
  #silent = false;
  #gateOpen = false;
  #disarm: (() => void) | undefined;
  #sendsPending = 0;
  #onIdle: (() => void)[] = [];

  constructor(ports: ElectionPorts) {
    this.#ports = ports;
    this.#segments = new Segments(ports.transport);
    this.#addresses = new ElectedAddresses(ports);
    ports.transport.onReceive((advertisement) => this.#receive(advertisement));
  }

  /**
   * Makes these the virtual routers. One whose identity (interface, family, VRID, version) is running already keeps
   * its state and takes the changes in place; one that is gone resigns; a further one starts.
   */
  configure(routers: readonly ElectedRouter[]): readonly ElectionFailure[] {
    const wanted = new Map(routers.map((router) => [identityOf(router), router]));
    for (const [identity, running] of this.#routers) {
      if (!wanted.has(identity)) this.#remove(identity, running);
    }
    const failures: ElectionFailure[] = [];
    const next = new Map<string, RunningRouter>();
    for (const [identity, configured] of wanted) {
      const running = this.#routers.get(identity);
      if (running === undefined) next.set(identity, this.#add(configured, failures));
      else {
        this.#reconfigure(running, configured, failures);
        next.set(identity, running);
      }
    }
    this.#routers = next;
    this.#drain();
    return failures;
  }

  /** Open: the connection table is a proven copy, so an active router may be preempted (P3). Closed at first. */
  setGate(open: boolean): void {
    if (open === this.#gateOpen) return;
    this.#gateOpen = open;
    for (const router of this.#routers.values()) this.#enqueue(router, { kind: open ? 'gateOpened' : 'gateClosed' });
    this.#drain();
  }

  /**
   * Every active virtual router gives its role away, and does not preempt until it has been active again. Gives their
   * names. With nobody to take it, VRRP cannot know: the router takes its role back after an active down interval.
   */
  handOver(): readonly string[] {
    const active = [...this.#routers.values()].filter(({ state }) => state.kind === 'active');
    for (const router of active) this.#enqueue(router, { kind: 'handoverRequested' });
    this.#drain();
    return active.map(({ configured }) => configured.name);
  }

  /** Takes `handOver` back: preemption is possible again. */
  releaseHold(): void {
    for (const router of this.#routers.values()) this.#enqueue(router, { kind: 'holdReleased' });
    this.#drain();
  }

  linkChanged(interfaceName: string, up: boolean): void {
    this.#segments.linkChanged(interfaceName, up);
    for (const router of this.#routers.values()) {
      if (router.configured.interface !== interfaceName) continue;
      const source = up ? this.#open(router.configured, []) : undefined;
      if (source !== undefined) this.#learnSource(router, source);
      this.#enqueue(router, { kind: source === undefined ? 'interfaceDown' : 'interfaceUp' });
    }
    this.#drain();
  }

  /** Resigns everything. Resolves when the last advertisement has left or failed; the transport is the caller's. */
  stop(): Promise<void> {
    this.configure([]);
    this.#stopped = true;
    this.#disarm?.();
    if (this.#sendsPending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Where a successor can go on. */
  handoverRecord(): ElectionHandoverRecord {
    const routers = [...this.#routers.values()].map(({ configured, state }) => {
      return { assignment: assignmentOf(configured), record: handoverRecordOf(state) ?? null };
    });
    return { gateOpen: this.#gateOpen, routers };
  }

  /** Says and changes nothing more: a successor goes on in its place. */
  fallSilent(): void {
    this.#stopped = true;
    this.#silent = true;
    this.#routers.clear();
    this.#arm();
  }

  /**
   * Goes on where its predecessor stopped. Then `configure` says what is wanted: to the virtual routers that run by then
   * it is a reload.
   */
  continueFrom({ routers }: ElectionHandoverRecord): void {
    for (const { assignment, record } of routers) {
      const configured = electRouter(assignment);
      const router = this.#create(configured, []);
      this.#routers.set(identityOf(configured), router);
      if (record === null || !this.#segments.isUsable(configured)) {
        this.#start(router);
        continue;
      }
      // Its own from here on: should the machine give them up, they are taken off.
      for (const each of configured.addresses) if (each.install) router.installed.set(each.address, each);
      this.#enqueue(router, { kind: 'succession', record });
    }
    this.#drain();
  }

  view(): ElectionView {
    return {
      gateOpen: this.#gateOpen,
      routers: [...this.#routers.values()].map(viewRouter),
      unattributed: this.#segments.view(),
    };
  }

  #add(configured: ElectedRouter, failures: ElectionFailure[]): RunningRouter {
    const router = this.#create(configured, failures);
    this.#start(router);
    return router;
  }

  #start(router: RunningRouter): void {
    const { configured } = router;
    // A predecessor that was killed may have left these behind; until elected, nothing is forwarded or answered.
    this.#ports.leaseWriter.revoke(configured.leaseSlot);
    for (const each of configured.addresses) this.#addresses.uninstall(router, each);
    this.#enqueue(router, { kind: 'startup', interfaceUp: this.#segments.isUsable(configured) });
  }

  #create(configured: ElectedRouter, failures: ElectionFailure[]): RunningRouter {
    const address = this.#open(configured, failures) ?? unknownAddress[configured.family];
    const router = createRunningRouter(configured, address, this.#ports.clock.nowMs());
    this.#listeners.set(listenerKey(configured.interface, configured.family, configured.vrid), router);
    if (this.#gateOpen) this.#enqueue(router, { kind: 'gateOpened' });
    return router;
  }

  #remove(identity: string, router: RunningRouter): void {
    this.#enqueue(router, { kind: 'shutdown' });
    this.#drain();
    const { interface: name, family, vrid } = router.configured;
    this.#listeners.delete(listenerKey(name, family, vrid));
    this.#routers.delete(identity);
  }

  #reconfigure(router: RunningRouter, configured: ElectedRouter, failures: ElectionFailure[]): void {
    const before = router.configured;
    const source = this.#open(configured, failures);
    router.primaryAddress = source ?? router.primaryAddress;
    const config = adoptConfiguration(router, configured);
    if (before.leaseSlot !== configured.leaseSlot) this.#moveLease(router, before.leaseSlot);
    this.#enqueue(router, { kind: 'configurationChanged', config });
    // Another path may be what it needed, or may not be there.
    if (source === undefined) this.#enqueue(router, { kind: 'interfaceDown' });
    else if (this.#segments.isUsable(configured)) this.#enqueue(router, { kind: 'interfaceUp' });
    this.#drain();
    if (router.state.kind !== 'active' || !router.state.holding) return;
    // The machine has acquired what came and released what went.
    this.#addresses.rearrange(router);
  }

  #moveLease(router: RunningRouter, formerSlot: number): void {
    const { leaseWriter } = this.#ports;
    leaseWriter.revoke(formerSlot);
    const { state } = router;
    if (state.kind === 'active' && state.holding) leaseWriter.grant(router.configured.leaseSlot, state.voiceUntilMs);
  }

  /** The address that a virtual router sends from; undefined, with the reason told, when it cannot take part. */
  #open(configured: ElectedRouter, failures: ElectionFailure[]): IpAddress | undefined {
    const opened = this.#segments.open(configured);
    if (typeof opened === 'string') return opened;
    const { sentence, repeated } = opened;
    failures.push({ router: configured.name, sentence });
    if (!repeated) this.#ports.log('error', `cannot take part in the election: ${sentence}`, configured.name);
    return undefined;
  }

  /** It had to start in fault before there was an address, or the interface has come back with another. */
  #learnSource(router: RunningRouter, source: IpAddress): void {
    if (router.primaryAddress === source) return;
    router.primaryAddress = source;
    this.#enqueue(router, { kind: 'configurationChanged', config: adoptConfiguration(router, router.configured) });
  }

  #receive(received: ReceivedAdvertisement): void {
    if (this.#stopped) return;
    let meant: RunningRouter | undefined;
    const result = climbLadder(received, (vrid, family) => {
      meant = this.#listeners.get(listenerKey(received.interface, family, vrid));
      return meant;
    });
    if (!result.ok) {
      this.#countRejection(result.reason, received, meant);
      return;
    }
    const { router, advertisement, addressListDiffers } = result.value;
    router.advertisementsReceived += 1;
    if (addressListDiffers) router.addressListMismatches += 1;
    if (addressListDiffers && !router.addressListDiffers) {
      this.#ports.log('warn', addressListSentence(received.source), router.configured.name);
    }
    router.addressListDiffers = addressListDiffers;
    const { priority, intervalMs } = advertisement;
    this.#enqueue(router, { kind: 'advertisementReceived', source: received.source, priority, intervalMs });
    this.#drain();
  }

  #countRejection(reason: RejectionReason, received: ReceivedAdvertisement, meant: RunningRouter | undefined): void {
    const unattributed = this.#segments.rejectionsOf(received.interface, familyOf(received.source));
    const counters = meant?.rejections ?? unattributed;
    if (counters === undefined) return;
    counters[reason] += 1;
    // One's own advertisements coming back are the network's business, not worth a line.
    if (counters[reason] > 1 || reason === 'looped-back') return;
    this.#ports.log('warn', rejectionSentence(reason, received.source, received.interface), meant?.configured.name);
  }

  #enqueue(router: RunningRouter, event: RouterEvent): void {
    this.#queue.push({ router, event });
  }

  /** One event after the other, however deep the callbacks of their actions reach; then the timer is set anew. */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        if (this.#silent) continue;
        const { state, actions } = step(next.router.state, next.event, this.#ports.clock.nowMs());
        next.router.state = state;
        for (const action of actions) this.#execute(next.router, action);
      }
    } finally {
      this.#draining = false;
    }
    this.#arm();
  }

  #arm(): void {
    this.#disarm?.();
    this.#disarm = undefined;
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const { state } of this.#routers.values()) {
      earliestMs = Math.min(earliestMs, nextDeadline(state) ?? Number.POSITIVE_INFINITY);
    }
    if (earliestMs === Number.POSITIVE_INFINITY) return;
    this.#disarm = this.#ports.clock.callAt(earliestMs, () => this.#timer());
  }

  #timer(): void {
    const nowMs = this.#ports.clock.nowMs();
    for (const router of this.#routers.values()) {
      const dueMs = nextDeadline(router.state);
      if (dueMs !== undefined && dueMs <= nowMs) this.#enqueue(router, { kind: 'timer' });
    }
    this.#drain();
  }

  #execute(router: RunningRouter, action: RouterAction): void {
    const { leaseWriter } = this.#ports;
    const { configured } = router;
    switch (action.kind) {
      case 'sendAdvertisement':
        this.#send(router, action.priority, action.intervalMs);
        break;
      case 'grantLease':
        leaseWriter.grant(configured.leaseSlot, action.untilMs);
        break;
      case 'revokeLease':
        leaseWriter.revoke(configured.leaseSlot);
        break;
      case 'acquireAddresses':
        for (const address of configured.addresses) {
          if (address.install && action.addresses.includes(address.address)) this.#addresses.install(router, address);
        }
        break;
      case 'releaseAddresses':
        for (const address of action.addresses) {
          const installed = router.installed.get(address);
          if (installed !== undefined) this.#addresses.uninstall(router, installed);
        }
        break;
      case 'announce':
        for (const address of action.addresses) this.#addresses.announce(router, address);
        break;
      case 'notify':
      case 'note':
        this.#report(router, action);
        break;
    }
  }

  #report(router: RunningRouter, action: Extract<RouterAction, { kind: 'notify' | 'note' }>): void {
    const { log, onChange } = this.#ports;
    const { name } = router.configured;
    if (action.kind === 'note') {
      const [level, sentence] = noteSentence(action.note);
      log(level, sentence, name);
      if (action.note === 'acquired') onChange(viewRouter(router), { kind: 'acquired' });
      return;
    }
    router.reason = action.reason;
    router.transitions += 1;
    if (action.to === 'active') router.becameActive += 1;
    log('info', transitionSentence(action.to, action.reason), name);
    onChange(viewRouter(router), { kind: 'transition', from: action.from, reason: action.reason });
  }

  #send(router: RunningRouter, priority: number, intervalMs: number): void {
    const { interface: name, family } = router.configured;
    const advertisement = advertisementOf(router.configured, priority, intervalMs, router.addresses);
    const messages = addressMessages(router.configured, router.primaryAddress, advertisement);
    const sentAtMs = this.#ports.clock.nowMs();
    const outcomes: (Error | undefined)[] = [];
    this.#sendsPending += 1;
    for (const { message, endpoints } of messages) {
      const onSent = (error?: Error): void => {
        outcomes.push(error);
        if (outcomes.length === messages.length) this.#sent(router, outcomes, { sentAtMs, priority, intervalMs });
      };
      this.#ports.transport.send(name, family, message, onSent, endpoints);
    }
  }

  /** One peer that could be sent to is enough: another one may be powered off, and its route gone with it. */
  #sent(
    router: RunningRouter,
    outcomes: readonly (Error | undefined)[],
    sent: { sentAtMs: number; priority: number; intervalMs: number },
  ): void {
    this.#sendsPending -= 1;
    const error = outcomes.every((outcome) => outcome !== undefined) ? outcomes[0] : undefined;
    if (error === undefined) {
      router.advertisementsSent += 1;
      router.mute = false;
      this.#enqueue(router, { kind: 'advertisementSent', ...sent });
    } else this.#sendFailed(router, error);
    this.#drain();
    if (this.#sendsPending > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #sendFailed(router: RunningRouter, error: Error): void {
    router.sendErrors += 1;
    if (router.mute) return;
    router.mute = true;
    this.#ports.log('error', `cannot send its advertisement: ${error.message}`, router.configured.name);
  }
}
