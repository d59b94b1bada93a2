// SPDX-License-Identifier: Apache-2.0
import { activeHeard } from '../../src/director/election/active-heard.ts';
import { Election } from '../../src/director/election/election.ts';
import type { AddressKeeper, Announcer, LeaseWriter, SyncTransport, VrrpTransport } from '../../src/director/ports.ts';
import { type Replication, startReplication } from '../../src/director/replication/replication.ts';
import type { ConnectionPort, PublisherReader } from '../../src/engine/engine.ts';
import type { Clock } from '../../src/lib/clock.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import type { Prng } from '../../src/lib/prng.ts';
import { recordWords } from '../../src/model/connection-batch.ts';
import { Sign } from '../../src/model/lease.ts';
import { watchEngine } from '../../src/processes/engine/watch.ts';
import { signLife } from '../../src/processes/sync/sign.ts';
import { PartsWatch, signMs, signPeriodMs } from '../../src/processes/vrrp/watch.ts';
import { emitHandoverRecord, parseHandoverRecord } from '../../src/succession/handover-record.ts';
import { parseFrame } from '../../sync/frame.ts';
import type { GateState } from '../../sync/gate.ts';
import { parseMessage } from '../../sync/messages/body.ts';
import { DatagramType } from '../../sync/messages/table.ts';
import { assign, type FlatRouter } from '../support/election.ts';
import { SimulatedHost, type SimulatedHostOptions } from '../support/simulated-segment.ts';
import type { SimulatedTime } from '../support/simulated-time.ts';
import { type EngineTimes, keyOf, LeaseArray, publisherReader, SimulatedEngine } from './engine.ts';
import type { Rules } from './rules.ts';

/** The deviations of a deliberately broken director. */
export interface Mutation {
  readonly leaseWriter?: (inner: LeaseWriter, clock: Clock) => LeaseWriter;
  readonly announcer?: (inner: Announcer, clock: Clock) => Announcer;
  readonly addressKeeper?: (inner: AddressKeeper, clock: Clock) => AddressKeeper;
  readonly gate?: (open: boolean, gate: GateState) => boolean;
  readonly connections?: (inner: ConnectionPort) => ConnectionPort;
  readonly electionClock?: (host: SimulatedHost) => Clock;
  readonly replicationClock?: (host: SimulatedHost) => Clock;
  readonly arrivalsMax?: number;
  /** What the engine reads of its publisher. */
  readonly publisher?: (inner: PublisherReader) => PublisherReader;
  /** What the vrrp process reads of the other parts. */
  readonly signedUntilMs?: (inner: (part: Sign) => number) => (part: Sign) => number;
  readonly engineAliveUntilMs?: () => number;
}

export interface DirectorSetting {
  readonly name: string;
  readonly time: SimulatedTime;
  readonly dice: Prng;
  readonly routers: readonly FlatRouter[];
  readonly times: EngineTimes;
  readonly epoch: number;
  readonly rules: Rules;
  readonly mutation: Mutation;
  readonly sendAdvertisement: (
    from: string,
    interfaceName: string,
    router: number,
    message: Uint8Array,
    leaves: boolean,
  ) => void;
  readonly sendDatagram: (from: string, datagram: Uint8Array) => void;
  /** Tells the switch which director an address belongs to. */
  readonly onAnnounced: (director: string, address: IpAddress) => void;
  readonly onSettled: () => void;
  readonly write: (director: string, text: string) => void;
}

/** So many small datagrams fit into a socket buffer of the default size. */
const arrivalsMax = 256;
/** The path from the sync thread through the main process into the vrrp process: two messages. */
export const gateDelayMs = 0.4;
const messageDelayMs = gateDelayMs / 2;

const syncId = 51;

/** One director: election, replication and engine as composed in src/processes, in processes that can stand still. */
export class SimulatedDirector {
  readonly name: string;
  vrrpHost: SimulatedHost;
  /** The event loop of the main process. */
  mainHost: SimulatedHost;
  syncHost: SimulatedHost;
  readonly engineHost: SimulatedHost;
  election: Election;
  replication: Replication;
  readonly engine: SimulatedEngine;
  readonly leases = new LeaseArray();
  routers: readonly FlatRouter[];
  /** Every advertisement ends with an error instead of being sent. */
  mute = false;
  /** The keys of all connections that have been published. */
  readonly sent = new Set<string>();
  hear: Parameters<VrrpTransport['onReceive']>[0] = () => {};
  receive: Parameters<SyncTransport['onReceive']>[0] = () => {};
  /** As the gate of the vrrp process: what the main process has told, and whether a part is late. */
  #gate = { open: false, late: false, outdated: false };
  readonly #setting: DirectorSetting;
  readonly #hostOptions: SimulatedHostOptions;
  /** Set while the main process is dead and its successor has not started: the successor's configuration. */
  #absent: { routers: readonly FlatRouter[] } | undefined;

  constructor(setting: DirectorSetting) {
    const { name, time, dice, mutation, rules } = setting;
    this.#setting = setting;
    this.name = name;
    this.routers = setting.routers;
    // Timers of an idle Node process fire so late.
    const options: SimulatedHostOptions = {
      arrivalsMax: mutation.arrivalsMax ?? arrivalsMax,
      latenessMs: () => dice.fraction() * 0.4,
    };
    this.#hostOptions = options;
    this.vrrpHost = new SimulatedHost(`${name} vrrp`, time, options);
    this.mainHost = new SimulatedHost(`${name} main`, time, options);
    this.syncHost = new SimulatedHost(`${name} sync`, time, options);
    this.engineHost = new SimulatedHost(`${name} engine`, time, options);
    const slots = setting.routers.map(({ leaseSlot }) => leaseSlot);
    const { engineHost, syncHost, leases } = this;
    const reader = publisherReader(leases);
    const publisher = mutation.publisher?.(reader) ?? reader;
    this.engine = new SimulatedEngine(engineHost, syncHost, leases, slots, setting.times, setting.onSettled, publisher);
    this.engine.onAdmitted = (session) => rules.admitted(name, session.leaseSlot);
    this.election = this.#startElection(rules);
    this.replication = this.#startReplication(setting.epoch);
    this.#signMain();
    this.election.configure(this.routers.map(assign));
  }

  get hosts(): readonly SimulatedHost[] {
    return [this.vrrpHost, this.mainHost, this.engineHost, this.syncHost];
  }

  /** Until when the sync thread has promised to publish, and whether there is anybody to publish to. */
  get publisher(): { readonly untilMs: number; readonly isNeeded: boolean } {
    const untilMs = this.leases.signedUntilMs(Sign.publisher);
    return { untilMs, isNeeded: untilMs !== Number.POSITIVE_INFINITY };
  }

  get alive(): boolean {
    return this.vrrpHost.alive;
  }

  /**
   * The main process dies; engine and vrrp process go on. The next one succeeds it after `downMs`, if the vrrp process
   * answers.
   */
  restartInPlace(downMs: number, epoch: number): void {
    if (this.#absent !== undefined) return;
    const { name, time } = this.#setting;
    const [absent, vrrpHost] = [{ routers: this.routers }, this.vrrpHost];
    this.#absent = absent;
    this.replication.close();
    this.syncHost.kill();
    this.mainHost.kill();
    time.callAt(time.nowMs() + downMs, () => {
      if (!this.alive || this.#absent !== absent || vrrpHost !== this.vrrpHost) return;
      this.#absent = undefined;
      this.syncHost = new SimulatedHost(`${name} sync`, time, this.#hostOptions);
      this.mainHost = new SimulatedHost(`${name} main`, time, this.#hostOptions);
      this.engine.beginPublisher(this.syncHost);
      this.#signMain();
      this.#succeedElection(absent.routers);
      this.replication = this.#startReplication(epoch);
      this.#setting.onSettled();
    });
  }

  #succeedElection(routers: readonly FlatRouter[]): void {
    const { name, time, rules, write } = this.#setting;
    const [predecessorHost, predecessor] = [this.vrrpHost, this.election];
    const parsed = predecessorHost.frozen
      ? undefined
      : parseHandoverRecord(emitHandoverRecord(predecessor.handoverRecord()));
    if (parsed !== undefined) predecessor.fallSilent();
    predecessorHost.kill();
    this.vrrpHost = new SimulatedHost(`${name} vrrp`, time, this.#hostOptions);
    this.election = this.#startElection(rules);
    write(name, parsed?.ok ? 'goes on in the place of its predecessor' : 'finds nothing to go on from');
    if (parsed?.ok) this.election.continueFrom(parsed.value);
    this.routers = routers;
    this.election.configure(routers.map(assign));
  }

  reconfigure(routers: readonly FlatRouter[]): void {
    if (this.#absent !== undefined) {
      this.#absent.routers = routers;
      return;
    }
    this.vrrpHost.deliver(() => {
      this.routers = routers;
      this.election.configure(routers.map(assign));
    });
  }

  handOver(): void {
    if (this.#absent !== undefined) return;
    this.vrrpHost.deliver(() => void this.election.handOver());
  }

  /** As Director.stop: the election resigns first, then sync says good-bye. */
  shutDown(onStopped: () => void): void {
    // Without a main process the signal goes to the vrrp process, which then does not wait for another one.
    this.#absent &&= { ...this.#absent };
    this.vrrpHost.deliver(() => {
      const stopped = this.election.stop().then(() => {
        this.syncHost.deliver(() => this.replication.close());
        onStopped();
      });
      // Nothing was under way: the promise is settled already.
      void stopped;
      this.#setting.onSettled();
    });
  }

  kill(): void {
    this.replication.close();
    for (const host of this.hosts) host.kill();
  }

  /** Its health checks run as long as it does. */
  #signMain(): void {
    const { mainHost } = this;
    const sign = (): void => {
      this.leases.sign(Sign.director, mainHost.nowMs() + signMs);
      mainHost.callAt(mainHost.nowMs() + signPeriodMs, sign);
    };
    sign();
  }

  #startElection(rules: Rules): Election {
    const { name, mutation, onAnnounced, onSettled, write } = this.#setting;
    const clock = mutation.electionClock?.(this.vrrpHost) ?? this.vrrpHost;
    const leaseWriter: LeaseWriter = {
      grant: (slot, untilMs) => {
        this.leases.grant(slot, untilMs);
        rules.granted(name, slot, untilMs);
      },
      revoke: (slot) => {
        this.leases.revoke(slot);
        rules.revoked(name, slot);
      },
    };
    const announcer: Announcer = {
      announce: (address) => {
        rules.announced(name, address);
        onAnnounced(name, address);
      },
    };
    const keeper: AddressKeeper = {
      add: (address) => rules.addressAdded(name, address),
      remove: (address) => rules.addressRemoved(name, address),
    };
    const election = new Election({
      clock,
      transport: this.#vrrpTransport(onSettled),
      leaseWriter: mutation.leaseWriter?.(leaseWriter, this.vrrpHost) ?? leaseWriter,
      announcer: mutation.announcer?.(announcer, this.vrrpHost) ?? announcer,
      addressKeeper: mutation.addressKeeper?.(keeper, this.vrrpHost) ?? keeper,
      log: (level, sentence, router) => {
        if (level !== 'debug') write(name, `${router ?? ''} ${sentence}`);
      },
      onChange: (running, change) => {
        rules.changed(name, running, change);
        this.#tellHeard();
      },
    });
    this.#gate = { open: false, late: false, outdated: false };
    const parts = this.#watchParts(election, clock);
    watchEngine({
      clock,
      leases: { validUntilMs: this.#setting.mutation.engineAliveUntilMs ?? ((slot) => this.leases.validUntilMs(slot)) },
      onSilent: () => {
        if (election.handOver().length > 0) write(name, 'the engine stands still: hands over');
      },
      onAlive: () => {
        if (!parts.holds) election.releaseHold();
      },
    });
    return election;
  }

  /** As `watchParts` of the vrrp process. */
  #watchParts(election: Election, clock: Clock): PartsWatch {
    const { name, mutation, write } = this.#setting;
    const signedUntilMs = (part: Sign): number => this.leases.signedUntilMs(part);
    const [gate, { leases }] = [this.#gate, this];
    return new PartsWatch({
      clock,
      signedUntilMs: mutation.signedUntilMs?.(signedUntilMs) ?? signedUntilMs,
      hasDirector: () => this.#absent === undefined,
      active: () =>
        election
          .view()
          .routers.filter(({ state }) => state.kind === 'active')
          .map(({ assignment }) => assignment.router.name),
      handOver: () => void election.handOver(),
      release: () => election.releaseHold(),
      stay: () => leases.sign(Sign.publisher, Number.POSITIVE_INFINITY),
      onLate: (isLate) => {
        gate.late = isLate;
        election.setGate(gate.open && !gate.late && !gate.outdated);
      },
      onOutdated: (isOutdated) => {
        gate.outdated = isOutdated;
        election.setGate(gate.open && !gate.late && !gate.outdated);
      },
      log: (_level, sentence) => write(name, sentence),
    });
  }

  /** The sync thread tells the main process, and that tells the vrrp process. */
  #tellGate(open: boolean): void {
    const { time } = this.#setting;
    const { mainHost, syncHost } = this;
    time.callAt(syncHost.nowMs() + messageDelayMs, () => {
      if (!syncHost.alive) return;
      mainHost.deliver(() => {
        time.callAt(mainHost.nowMs() + messageDelayMs, () => {
          if (!mainHost.alive) return;
          this.vrrpHost.deliver(() => {
            this.#gate.open = open;
            this.election.setGate(open && !this.#gate.late && !this.#gate.outdated);
          });
        });
      });
    });
  }

  /** As HeardTeller of the vrrp process: at the next turn, and the sync thread learns of it a moment later. */
  #tellHeard(): void {
    const { vrrpHost, mainHost, syncHost, replication } = this;
    const { time } = this.#setting;
    vrrpHost.callAt(vrrpHost.nowMs(), () => {
      const heard = activeHeard(this.election.view().routers);
      time.callAt(vrrpHost.nowMs() + messageDelayMs, () => {
        mainHost.deliver(() => {
          time.callAt(mainHost.nowMs() + messageDelayMs, () => {
            if (syncHost.alive) syncHost.deliver(() => replication.setActiveHeard(heard));
          });
        });
      });
    });
  }

  #vrrpTransport(onSettled: () => void): VrrpTransport {
    const { name, sendAdvertisement } = this.#setting;
    return {
      open: (_interface, family) => addressOf(name, family),
      send: (interfaceName, _family, message, onSent) => {
        const error = this.mute ? new Error('no buffer space') : undefined;
        const router = message[1]! - 51;
        sendAdvertisement(name, interfaceName, router, message, error === undefined);
        this.vrrpHost.callAt(this.vrrpHost.nowMs(), () => {
          onSent(error);
          onSettled();
        });
      },
      onReceive: (listener) => {
        this.hear = listener;
      },
      close: () => {},
    };
  }

  /** The keys of the connections in a datagram that leaves. */
  #noteSent(datagram: Uint8Array): void {
    const frame = parseFrame(datagram, syncId);
    if (!frame.ok || frame.value.type !== DatagramType.delta) return;
    const message = parseMessage(frame.value.type, frame.value.body);
    if (!message.ok || message.value.type !== DatagramType.delta) return;
    const { entries } = message.value;
    for (let at = 0; at < entries.length; at += recordWords)
      this.sent.add(keyOf(entries.subarray(at, at + recordWords)));
  }

  #startReplication(epoch: number): Replication {
    const { name, mutation, sendDatagram, write } = this.#setting;
    const { syncHost, engine } = this;
    const transport: SyncTransport = {
      send: (datagram) => {
        this.#noteSent(datagram);
        sendDatagram(name, datagram.slice());
        return true;
      },
      onReceive: (listener) => {
        this.receive = listener;
      },
      close: () => {
        this.receive = () => {};
      },
    };
    this.leases.sign(Sign.sync, Number.POSITIVE_INFINITY);
    this.leases.sign(Sign.peer, 0);
    const replication = startReplication({
      transport,
      connections: mutation.connections?.(engine) ?? engine,
      clock: mutation.replicationClock?.(syncHost) ?? syncHost,
      identity: { senderId: name.charCodeAt(0) - 96, epoch, syncId },
      services: [],
      log: (level, message) => {
        if (level !== 'info') write(name, message);
      },
      onGate: (gate, isOpen) => {
        write(name, `synchronisation is ${gate}`);
        const open = mutation.gate?.(isOpen, gate) ?? isOpen;
        this.#tellGate(open);
      },
      tuning: { windowBytes: 1 << 18 },
    });
    // The state in which it begins is not told.
    if (mutation.gate?.(false, replication.gate) === true) this.#tellGate(true);
    const sign = (): void => {
      signLife(this.leases, syncHost.nowMs(), replication.peersHeard(), true);
      syncHost.callAt(syncHost.nowMs() + signPeriodMs, sign);
    };
    sign();
    return replication;
  }
}

export function addressOf(name: string, family: 'ipv4' | 'ipv6'): IpAddress {
  const number = name.charCodeAt(0) - 96;
  return (family === 'ipv4' ? `192.0.2.${number}` : `fe80::${number}`) as IpAddress;
}
