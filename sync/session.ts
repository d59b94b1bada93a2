// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import { Acknowledger } from './acknowledger.ts';
import { Applier } from './applier.ts';
import { type ControlHandlers, controlHandlers } from './control.ts';
import { createSyncCounters, type RejectionReason } from './counters.ts';
import { Deferral } from './deferral.ts';
import { type Frame, parseFrame, readSecondClass, syncIdOffset } from './frame.ts';
import { Gate, type GateInputs, type GateState } from './gate.ts';
import { Heartbeats } from './heartbeats.ts';
import { parseMessage } from './messages/body.ts';
import { applyClassBits } from './messages/entries.ts';
import { DatagramType, handle, isSequencedMessage, nackRangesMax, type SequencedMessage } from './messages/table.ts';
import type { Peer } from './peer.ts';
import { Peers } from './peers.ts';
import { type Identity, Publisher } from './publisher.ts';
import { Silence } from './silence.ts';
import type { IntakeAction } from './snapshot-intake.ts';
import { SnapshotService, type TablePage } from './snapshot-service.ts';
import type { SessionOutput, SessionStatus } from './surroundings.ts';
import type { SyncTuning } from './tuning.ts';

/**
 * The protocol of docs/sync-protocol.md, without I/O: datagrams, events, pages and time come in as calls; the session
 * acts through `SessionOutput`. After every call `nextDeadlineMs` says when `advance` has to be called.
 *
 * A datagram is received, its message is accepted in the order of the sender's stream and applied to the table; events
 * are published.
 */
export class SyncSession {
  readonly #identity: Identity;
  readonly #settings: SyncTuning;
  readonly #output: SessionOutput;
  readonly #counters = createSyncCounters();
  readonly #publisher: Publisher;
  readonly #service: SnapshotService;
  readonly #peers: Peers;
  readonly #applier: Applier;
  readonly #gate: Gate;
  readonly #silence = new Silence();
  readonly #heartbeats: Heartbeats;
  readonly #acknowledger: Acknowledger;
  readonly #deferral: Deferral;
  readonly #control: ControlHandlers;
  #activeDownIntervalMs: number | undefined;

  /** `fingerprint` comes from `fingerprintServices`. Sends the first heartbeat. */
  constructor(identity: Identity, settings: SyncTuning, fingerprint: string, output: SessionOutput, nowMs: number) {
    const counters = this.#counters;
    const publisher = new Publisher(identity, settings, counters, (datagram) => output.send(datagram));
    const gate = new Gate(nowMs + settings.aloneAfterMs, settings.preemptWithoutSyncMs);
    this.#identity = identity;
    this.#settings = settings;
    this.#output = output;
    this.#publisher = publisher;
    this.#gate = gate;
    this.#service = new SnapshotService(publisher, settings, counters, (cursor, recordsMax) =>
      output.exportPage(cursor, recordsMax),
    );
    this.#peers = new Peers(identity, settings, counters, nowMs);
    this.#applier = new Applier(identity.senderId, settings, counters, output, this.#peers);
    this.#heartbeats = new Heartbeats(
      {
        settings,
        counters,
        publisher,
        gate: () => gate.state,
        fingerprintCompared: (peer, equal) => output.fingerprintCompared(peer, equal),
      },
      fingerprint,
      nowMs,
    );
    this.#acknowledger = new Acknowledger(settings, counters, publisher);
    this.#deferral = new Deferral({ settings, counters, publisher, peers: this.#peers });
    this.#control = controlHandlers({
      identity,
      counters,
      publisher,
      service: this.#service,
      heartbeats: this.#heartbeats,
      acknowledger: this.#acknowledger,
      deferral: this.#deferral,
      giveUp: (peer, sequence, atMs) => this.#giveUp(peer, sequence, atMs),
    });
    this.#heartbeats.send(nowMs, true);
  }

  /** How many peers are heard. */
  get peersHeard(): number {
    return this.#peers.size;
  }

  get gate(): GateState {
    return this.#gate.state;
  }

  /** Publishes events of local connections. */
  publish(batch: Int32Array, nowMs: number): void {
    this.#notePause(nowMs);
    this.#service.published(this.#publisher.publish(batch, nowMs));
  }

  /**
   * Calls `release` when every peer has acknowledged what has been published so far, at once when there is nobody to wait for,
   * and after `deferMaxMs` in any case. It must not call back into the session.
   */
  defer(release: () => void, nowMs: number): void {
    this.#notePause(nowMs);
    this.#deferral.defer(release, nowMs);
  }

  /** A datagram from the network, valid or not. The bytes are not kept. */
  receive(datagram: Uint8Array, source: IpAddress, nowMs: number): void {
    this.#counters.traffic.datagramsReceived += 1;
    this.#counters.traffic.bytesReceived += datagram.length;
    this.#notePause(nowMs);
    const reason = this.#read(datagram, source, nowMs);
    if (reason === undefined) {
      this.#silence.end();
      this.#updateGate(nowMs);
      return;
    }
    this.#reject(reason);
    this.#silence.reject(reason, source, datagram[syncIdOffset] ?? 0);
  }

  /** Takes the page requested by `exportPage`; undefined when it could not be read. */
  exported(page: TablePage | undefined, nowMs: number): void {
    this.#service.exported(page, nowMs);
  }

  /** `count` further batches are in the table. */
  applied(count: number, nowMs: number): void {
    this.#notePause(nowMs);
    this.#applier.applied(count, nowMs);
    for (const peer of this.#peers) this.#applyAccepted(peer, nowMs);
    for (const peer of this.#peers) this.#tell(peer, this.#applier.advanceIntake(peer, nowMs));
    this.#updateGate(nowMs);
  }

  /** Does everything that is due at `nowMs`. */
  advance(nowMs: number): void {
    this.#notePause(nowMs);
    for (const peer of this.#peers.silent(nowMs)) {
      this.#forget(peer.senderId, nowMs);
      this.#output.peerLost();
    }
    for (const peer of this.#peers) {
      if (nowMs >= peer.stream.nackAtMs) this.#repair(peer, nowMs);
      this.#tell(peer, peer.intake.advance(nowMs));
      this.#acknowledger.answer(peer, nowMs);
    }
    this.#deferral.advance(nowMs);
    this.#service.advance(nowMs);
    if (nowMs >= this.#heartbeats.dueMs()) {
      this.#heartbeats.send(nowMs, this.#gate.state === 'joining' && this.#peers.size === 0);
    }
    this.#updateGate(nowMs);
  }

  nextDeadlineMs(): number {
    return Math.min(
      this.#heartbeats.dueMs(),
      this.#gate.nextDeadlineMs({
        peersHeard: this.peersHeard,
        activeDownIntervalMs: this.#activeDownIntervalMs,
      }),
      this.#peers.nextDeadlineMs(),
      this.#acknowledger.nextDeadlineMs(this.#peers),
      this.#deferral.nextDeadlineMs(),
    );
  }

  /**
   * VRRP hears another director as active, which counts as gone after `activeDownIntervalMs` of silence; undefined when it
   * hears none.
   */
  setActiveHeard(activeDownIntervalMs: number | undefined, nowMs: number): void {
    this.#activeDownIntervalMs = activeDownIntervalMs;
    this.#updateGate(nowMs);
  }

  /** The configuration has changed. */
  setFingerprint(fingerprint: string, nowMs: number): void {
    this.#heartbeats.setFingerprint(fingerprint, this.#peers, nowMs);
  }

  /** Tells the peers that this director stops, so that none of them waits for it. */
  leave(): void {
    this.#deferral.releaseAll();
    this.#publisher.sendControl({ type: DatagramType.leave });
  }

  status(nowMs: number): SessionStatus {
    return {
      gate: this.#gate.state,
      open: this.#gate.open,
      lastSequence: this.#publisher.lastSequence,
      peers: this.#peers.describe(nowMs),
      silence: this.#silence.cause(),
      counters: { traffic: { ...this.#counters.traffic }, rejected: { ...this.#counters.rejected } },
    };
  }

  /** Acts on a datagram; gives the reason when it is rejected. */
  #read(datagram: Uint8Array, source: IpAddress, nowMs: number): RejectionReason | undefined {
    const frame = parseFrame(datagram, this.#identity.syncId);
    if (!frame.ok) return frame.reason;
    const stranger = this.#peers.refuse(frame.value);
    if (stranger !== undefined) return stranger;
    const message = parseMessage(frame.value.type, frame.value.body);
    if (!message.ok) return message.reason;
    if ('entries' in message.value) applyClassBits(message.value.entries, readSecondClass(datagram));
    if (message.value.type === DatagramType.leave) {
      this.#forget(frame.value.sender, nowMs);
      return undefined;
    }
    const peer = this.#meet(frame.value, source, nowMs);
    if (peer === undefined) return 'peerLimit';
    if (isSequencedMessage(message.value)) this.#accept(message.value, frame.value.sequence, peer, nowMs);
    else {
      peer.stream.noteTail(frame.value.sequence, nowMs);
      handle(this.#control, message.value, peer, nowMs);
    }
    return undefined;
  }

  #reject(reason: RejectionReason): void {
    this.#counters.rejected[reason] += 1;
  }

  #notePause(nowMs: number): void {
    if (!this.#peers.notePause(nowMs)) return;
    this.#gate.awaitAnswers(nowMs + this.#settings.aloneAfterMs);
    this.#updateGate(nowMs);
  }

  #meet(frame: Frame, address: IpAddress, nowMs: number): Peer | undefined {
    const meeting = this.#peers.meet(frame, address, nowMs);
    if (meeting === undefined || meeting.kind === 'known') return meeting?.peer;
    const { peer, kind } = meeting;
    if (kind === 'restarted') this.#service.forget(peer.senderId);
    this.#tell(peer, peer.intake.advance(nowMs));
    this.#deferral.advance(nowMs);
    return peer;
  }

  #forget(sender: number, nowMs: number): void {
    if (!this.#peers.forget(sender)) return;
    this.#service.forget(sender);
    // The last peer has left: while joining, a director whose time for answers has passed is alone from now on.
    if (this.#peers.size === 0) this.#gate.awaitAnswers(nowMs);
    this.#deferral.advance(nowMs);
  }

  /** Puts the message into the order of the peer's stream. */
  #accept(message: SequencedMessage, sequence: number, peer: Peer, nowMs: number): void {
    const arrival = peer.stream.accept(sequence, message, nowMs);
    if (arrival === 'duplicate' || arrival === 'heldFull') this.#reject(arrival);
    this.#applyAccepted(peer, nowMs);
  }

  /** Applies the accepted messages that are next in order, as far as there is room. */
  #applyAccepted(peer: Peer, nowMs: number): void {
    for (;;) {
      const message = peer.stream.peek();
      if (message === undefined || !this.#applier.apply(message, peer, nowMs)) break;
      if (peer.stream.advance(nowMs)) this.#counters.traffic.gapsRepaired += 1;
    }
    this.#tell(peer, this.#applier.advanceIntake(peer, nowMs));
    this.#acknowledger.answer(peer, nowMs);
  }

  #repair(peer: Peer, nowMs: number): void {
    const { stream } = peer;
    if (stream.peek() !== undefined) {
      stream.postponeNack(nowMs);
      return;
    }
    if (stream.nackAttempts >= this.#settings.nackAttemptsMax) {
      this.#giveUp(peer, stream.nextAvailable(), nowMs);
      return;
    }
    const ranges = stream.missing(nackRangesMax);
    stream.noteNack(nowMs);
    if (ranges.length === 0) return;
    this.#counters.traffic.nacksSent += 1;
    const target = { sender: peer.senderId, epoch: peer.epoch };
    this.#publisher.sendControl({ type: DatagramType.nack, target, ranges });
  }

  /** Part of the peer's stream is lost for good: the stream continues after it, and a snapshot fills the hole. */
  #giveUp(peer: Peer, sequence: number, nowMs: number): void {
    this.#counters.traffic.gapsLost += 1;
    const passed = peer.stream.skipTo(sequence, nowMs);
    peer.intake.restart(nowMs);
    // The chunks among them belong to the transfer that was just given up. Deltas for which there is no room are
    // covered by the snapshot too.
    for (const message of passed) if (message.type === DatagramType.delta) this.#applier.apply(message, peer, nowMs);
    this.#applyAccepted(peer, nowMs);
    this.#tell(peer, peer.intake.advance(nowMs));
  }

  /** Sends the request or credit of the peer's snapshot. */
  #tell(peer: Peer, action: IntakeAction): void {
    if (action === undefined) return;
    const target = { sender: peer.senderId, epoch: peer.epoch };
    const { transfer, chunkLimit } = action;
    if (action.kind === 'request') this.#counters.traffic.bulkRequested += 1;
    const type = action.kind === 'request' ? DatagramType.bulkRequest : DatagramType.bulkCredit;
    this.#publisher.sendControl({ type, target, transfer, chunkLimit });
  }

  #updateGate(nowMs: number): void {
    const inputs: GateInputs = {
      peersHeard: this.peersHeard,
      peersInSync: this.#peers.countInSync(nowMs),
      tableIsBehind: this.#applier.isBehind(this.#settings.gapToleranceMs, nowMs),
      activeDownIntervalMs: this.#activeDownIntervalMs,
    };
    if (this.#gate.update(inputs, nowMs)) this.#output.gateChanged(this.#gate.state, this.#gate.open);
  }
}
