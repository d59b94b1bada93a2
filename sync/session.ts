// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import { Applier } from './applier.ts';
import { createSyncCounters, type RejectionReason } from './counters.ts';
import { DatagramType, type Frame, isSequenced, parseFrame } from './frame.ts';
import { IncomingStream } from './incoming-stream.ts';
import {
  type ControlMessage,
  type GateState,
  type Message,
  nackRangesMax,
  parseMessage,
  type SequencedMessage,
} from './message.ts';
import { describePeer, isInSync, type Peer } from './peer.ts';
import { type Identity, isSequencedMessage, Publisher } from './publisher.ts';
import { type IntakeAction, SnapshotIntake } from './snapshot-intake.ts';
import { SnapshotService, type TablePage } from './snapshot-service.ts';
import type { SessionOutput, SessionStatus } from './surroundings.ts';
import type { SyncTuning } from './tuning.ts';

/** After a pause a full socket buffer is read within this time. It holds what came first: the end is missing. */
const staleForMs = 20;

/**
 * The protocol of docs/sync-protocol.md, without I/O: datagrams, events, pages and time come in as calls, what is to be
 * done goes out through `SessionOutput`. After every call `nextDeadlineMs` says when `advance` has to be called.
 */
export class SyncSession {
  readonly #identity: Identity;
  readonly #settings: SyncTuning;
  readonly #output: SessionOutput;
  readonly #counters = createSyncCounters();
  readonly #publisher: Publisher;
  readonly #service: SnapshotService;
  readonly #peers = new Map<number, Peer>();
  readonly #applier: Applier;
  #fingerprint: string;
  #gate: GateState = 'joining';
  /** Until then somebody may still answer. */
  #aloneAtMs: number;
  #heartbeatAtMs: number;
  /** When the session was last called: at least at every heartbeat. */
  #awakeMs: number;
  /** What comes from then on was sent after this director's last pause. */
  #freshAtMs = Number.NEGATIVE_INFINITY;
  #solicitAnsweredMs = Number.NEGATIVE_INFINITY;
  #transfers: number;

  /** `fingerprint` as fingerprintServices gives it. Sends the first heartbeat. */
  constructor(identity: Identity, settings: SyncTuning, fingerprint: string, output: SessionOutput, nowMs: number) {
    this.#identity = identity;
    this.#settings = settings;
    this.#fingerprint = fingerprint;
    this.#output = output;
    this.#publisher = new Publisher(identity, settings, this.#counters, (datagram) => output.send(datagram));
    this.#service = new SnapshotService(this.#publisher, settings, this.#counters, (cursor, recordsMax) =>
      output.exportPage(cursor, recordsMax),
    );
    this.#applier = new Applier(identity.senderId, settings, this.#counters, output, this.#peers);
    // So that a transfer from before a restart is never taken for one of this epoch.
    this.#transfers = identity.epoch % 0x8000_0000;
    this.#aloneAtMs = nowMs + settings.aloneAfterMs;
    this.#heartbeatAtMs = nowMs;
    this.#awakeMs = nowMs;
    this.#sendHeartbeat(nowMs, true);
  }

  get gate(): GateState {
    return this.#gate;
  }

  /** Publishes events of local connections. */
  publish(batch: Int32Array, nowMs: number): void {
    this.#notePause(nowMs);
    this.#service.published(this.#publisher.publish(batch, nowMs));
  }

  /** A datagram from the network, valid or not. The bytes are not kept. */
  receive(datagram: Uint8Array, source: IpAddress, nowMs: number): void {
    this.#counters.traffic.datagramsReceived += 1;
    this.#counters.traffic.bytesReceived += datagram.length;
    this.#notePause(nowMs);
    const reason = this.#read(datagram, source, nowMs);
    if (reason !== undefined) this.#reject(reason);
    else this.#evaluateGate(nowMs);
  }

  /** The page asked for by `exportPage`; undefined when it could not be read. */
  exported(page: TablePage | undefined, nowMs: number): void {
    this.#service.exported(page, nowMs);
  }

  /** `count` further batches are in the table. */
  applied(count: number, nowMs: number): void {
    this.#notePause(nowMs);
    this.#applier.applied(count, nowMs);
    for (const peer of this.#peers.values()) this.#drain(peer, nowMs);
    for (const peer of this.#peers.values()) this.#act(peer, this.#applier.noteApplied(peer, nowMs));
    this.#evaluateGate(nowMs);
  }

  /** Does what is due. */
  advance(nowMs: number): void {
    this.#notePause(nowMs);
    for (const peer of [...this.#peers.values()]) {
      if (nowMs < peer.lastHeardMs + this.#settings.peerTimeoutMs) continue;
      this.#forget(peer.senderId, nowMs);
      this.#output.peerLost();
    }
    for (const peer of this.#peers.values()) {
      if (nowMs >= peer.stream.nackAtMs) this.#repair(peer, nowMs);
      this.#act(peer, peer.intake.advance(nowMs));
    }
    this.#service.advance(nowMs);
    if (nowMs >= this.#heartbeatDueMs()) this.#sendHeartbeat(nowMs, this.#gate === 'joining' && this.#peers.size === 0);
    this.#evaluateGate(nowMs);
  }

  nextDeadlineMs(): number {
    let deadline = this.#heartbeatDueMs();
    if (this.#peers.size === 0 && this.#gate === 'joining') deadline = Math.min(deadline, this.#aloneAtMs);
    for (const peer of this.#peers.values()) {
      deadline = Math.min(
        deadline,
        peer.lastHeardMs + this.#settings.peerTimeoutMs,
        peer.stream.nackAtMs,
        peer.intake.nextDeadlineMs(),
      );
    }
    return deadline;
  }

  /** The configuration has changed. */
  setFingerprint(fingerprint: string, nowMs: number): void {
    if (fingerprint === this.#fingerprint) return;
    const before = this.#fingerprint;
    this.#fingerprint = fingerprint;
    for (const peer of this.#peers.values()) {
      if (peer.fingerprint !== undefined) this.#compareFingerprint(peer, peer.fingerprint === before);
    }
    this.#sendHeartbeat(nowMs, false);
  }

  /** Tells the peers that this director stops, so that none of them waits for it. */
  leave(): void {
    this.#publisher.sendControl({ type: DatagramType.leave });
  }

  status(nowMs: number): SessionStatus {
    return {
      gate: this.#gate,
      lastSequence: this.#publisher.lastSequence,
      peers: [...this.#peers.values()].map((peer) => describePeer(peer, this.#settings, nowMs)),
      counters: { traffic: { ...this.#counters.traffic }, rejected: { ...this.#counters.rejected } },
    };
  }

  /** Why the datagram was not for this director; undefined once it has been acted upon. */
  #read(datagram: Uint8Array, source: IpAddress, nowMs: number): RejectionReason | undefined {
    const frame = parseFrame(datagram, this.#identity.syncId);
    if (!frame.ok) return frame.reason;
    const stranger = this.#refuseSender(frame.value);
    if (stranger !== undefined) return stranger;
    const message = parseMessage(frame.value.type, frame.value.body);
    if (!message.ok) return message.reason;
    if (message.value.type === DatagramType.leave) {
      this.#forget(frame.value.sender, nowMs);
      return undefined;
    }
    const peer = this.#meet(frame.value, source, nowMs);
    if (peer === undefined) return 'peerLimit';
    this.#dispatch(peer, frame.value, message.value, nowMs);
    return undefined;
  }

  /**
   * A director that was itself stopped for a while (SIGSTOP, a suspended machine, a long pause of the collector) has
   * not heard its peers because it was not listening. It must not take itself for the only one, nor its table for
   * current, before it has heard from them.
   */
  #notePause(nowMs: number): void {
    const pausedMs = nowMs - this.#awakeMs;
    this.#awakeMs = nowMs;
    if (pausedMs < this.#settings.peerTimeoutMs / 2) return;
    this.#counters.traffic.pauses += 1;
    this.#freshAtMs = nowMs + staleForMs;
    if (this.#gate === 'joining') this.#aloneAtMs = Math.max(this.#aloneAtMs, nowMs + this.#settings.aloneAfterMs);
    for (const peer of this.#peers.values()) {
      peer.lastHeardMs = nowMs;
      peer.heardSincePause = false;
    }
    this.#evaluateGate(nowMs);
  }

  /** Not of those that may have waited in the socket. */
  #isFresh(nowMs: number): boolean {
    return nowMs >= this.#freshAtMs;
  }

  #reject(reason: RejectionReason): void {
    this.#counters.rejected[reason] += 1;
  }

  /** Why nothing of this sender may be read. */
  #refuseSender(frame: Frame): RejectionReason | undefined {
    const { senderId, epoch } = this.#identity;
    // What this director sent before its restart may still be under way.
    if (frame.sender === senderId) return frame.epoch <= epoch ? 'ownDatagram' : 'senderIdConflict';
    const peer = this.#peers.get(frame.sender);
    return peer !== undefined && frame.epoch < peer.epoch ? 'oldEpoch' : undefined;
  }

  #meet(frame: Frame, address: IpAddress, nowMs: number): Peer | undefined {
    const known = this.#peers.get(frame.sender);
    if (known !== undefined && known.epoch === frame.epoch) {
      known.lastHeardMs = nowMs;
      known.address = address;
      known.heardSincePause ||= this.#isFresh(nowMs);
      return known;
    }
    if (known === undefined && this.#peers.size >= this.#settings.peersMax) return undefined;
    this.#counters.traffic[known === undefined ? 'peersMet' : 'peersRestarted'] += 1;
    if (known !== undefined) this.#service.forget(frame.sender);
    const first = isSequenced(frame.type) ? frame.sequence : frame.sequence + 1;
    const peer: Peer = {
      senderId: frame.sender,
      epoch: frame.epoch,
      address,
      lastHeardMs: nowMs,
      heardSincePause: this.#isFresh(nowMs),
      gate: undefined,
      fingerprint: known?.fingerprint,
      stream: new IncomingStream(this.#settings, first),
      intake: new SnapshotIntake(this.#settings, this.#counters, () => this.#nextTransfer(), nowMs),
    };
    this.#peers.set(frame.sender, peer);
    this.#act(peer, peer.intake.advance(nowMs));
    return peer;
  }

  #forget(sender: number, nowMs: number): void {
    if (!this.#peers.delete(sender)) return;
    this.#counters.traffic.peersForgotten += 1;
    this.#service.forget(sender);
    // Others may be about to answer: the last one that leaves does not make this director alone at once while joining.
    if (this.#peers.size === 0) this.#aloneAtMs = Math.max(this.#aloneAtMs, nowMs);
  }

  #dispatch(peer: Peer, frame: Frame, message: Message, nowMs: number): void {
    if (isSequencedMessage(message)) {
      this.#arrive(peer, frame.sequence, message, nowMs);
      return;
    }
    const gapBefore = peer.stream.gapSinceMs;
    peer.stream.noteTail(frame.sequence, nowMs);
    if (gapBefore === undefined && peer.stream.gapSinceMs !== undefined) this.#counters.traffic.gapsSeen += 1;
    this.#control(peer, message, nowMs);
  }

  #control(peer: Peer, message: ControlMessage, nowMs: number): void {
    switch (message.type) {
      case DatagramType.heartbeat: {
        const equalBefore = peer.fingerprint === undefined || peer.fingerprint === this.#fingerprint;
        peer.gate = message.gate;
        peer.fingerprint = message.fingerprint;
        this.#compareFingerprint(peer, equalBefore);
        if (message.solicit) this.#answerSolicit(nowMs);
        return;
      }
      case DatagramType.nack:
        if (!this.#isMe(message.target)) return;
        this.#counters.traffic.nacksReceived += 1;
        this.#publisher.resend(message.ranges, nowMs);
        return;
      case DatagramType.gone:
        if (message.oldest > peer.stream.expected) this.#giveUp(peer, message.oldest, nowMs);
        return;
      case DatagramType.bulkRequest:
        if (!this.#isMe(message.target)) return;
        this.#service.request(peer.senderId, message.transfer, message.chunkLimit, nowMs);
        return;
      case DatagramType.bulkCredit:
        if (!this.#isMe(message.target)) return;
        this.#service.credit(peer.senderId, message.transfer, message.chunkLimit, nowMs);
        return;
      case DatagramType.leave:
        return;
    }
  }

  #isMe(target: { readonly sender: number; readonly epoch: number }): boolean {
    return target.sender === this.#identity.senderId && target.epoch === this.#identity.epoch;
  }

  #arrive(peer: Peer, sequence: number, message: SequencedMessage, nowMs: number): void {
    const gapBefore = peer.stream.gapSinceMs;
    const arrival = peer.stream.accept(sequence, message, nowMs);
    if (arrival === 'duplicate' || arrival === 'heldFull') this.#reject(arrival);
    if (gapBefore === undefined && peer.stream.gapSinceMs !== undefined) this.#counters.traffic.gapsSeen += 1;
    this.#drain(peer, nowMs);
  }

  /** Applies what has its turn, as long as there is room. */
  #drain(peer: Peer, nowMs: number): void {
    for (;;) {
      const message = peer.stream.peek();
      if (message === undefined || !this.#applier.deliver(peer, message, nowMs)) break;
      if (peer.stream.advance(nowMs)) this.#counters.traffic.gapsRepaired += 1;
    }
    this.#act(peer, this.#applier.noteApplied(peer, nowMs));
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

  /** Part of the peer's stream is lost for good: the rest goes on, and a snapshot fills the hole. */
  #giveUp(peer: Peer, sequence: number, nowMs: number): void {
    this.#counters.traffic.gapsLost += 1;
    const passed = peer.stream.skipTo(sequence, nowMs);
    peer.intake.restart(nowMs);
    // The chunks among them belong to the transfer that was just given up. Deltas that find no room are part of the
    // same hole.
    for (const message of passed) if (message.type === DatagramType.delta) this.#applier.deliver(peer, message, nowMs);
    this.#drain(peer, nowMs);
    this.#act(peer, peer.intake.advance(nowMs));
  }

  #act(peer: Peer, action: IntakeAction): void {
    if (action === undefined) return;
    const target = { sender: peer.senderId, epoch: peer.epoch };
    const { transfer, chunkLimit } = action;
    if (action.kind === 'request') this.#counters.traffic.bulkRequested += 1;
    const type = action.kind === 'request' ? DatagramType.bulkRequest : DatagramType.bulkCredit;
    this.#publisher.sendControl({ type, target, transfer, chunkLimit });
  }

  #nextTransfer(): number {
    this.#transfers = (this.#transfers + 1) % 0x8000_0000;
    return this.#transfers;
  }

  #heartbeatDueMs(): number {
    const { lastSequencedMs } = this.#publisher;
    const lastHeartbeatMs = this.#heartbeatAtMs - this.#settings.heartbeatIntervalMs;
    return lastSequencedMs > lastHeartbeatMs
      ? Math.min(this.#heartbeatAtMs, lastSequencedMs + this.#settings.tailHeartbeatMs)
      : this.#heartbeatAtMs;
  }

  #sendHeartbeat(nowMs: number, solicit: boolean): void {
    this.#heartbeatAtMs = nowMs + this.#settings.heartbeatIntervalMs;
    const { heartbeat: type } = DatagramType;
    this.#publisher.sendControl({ type, gate: this.#gate, fingerprint: this.#fingerprint, solicit });
  }

  /** At most one answer in a while: it goes to everybody. */
  #answerSolicit(nowMs: number): void {
    if (nowMs - this.#solicitAnsweredMs < this.#settings.tailHeartbeatMs) return;
    this.#solicitAnsweredMs = nowMs;
    this.#sendHeartbeat(nowMs, false);
  }

  #compareFingerprint(peer: Peer, equalBefore: boolean): void {
    const equal = peer.fingerprint === this.#fingerprint;
    if (equal === equalBefore) return;
    if (!equal) this.#counters.traffic.fingerprintMismatches += 1;
    this.#output.fingerprintCompared(peer.address, equal);
  }

  #evaluateGate(nowMs: number): void {
    const gate = this.#gateNow(nowMs);
    if (gate === this.#gate) return;
    this.#gate = gate;
    this.#output.gateChanged(gate);
  }

  #gateNow(nowMs: number): GateState {
    if (this.#peers.size === 0) return this.#gate !== 'joining' || nowMs >= this.#aloneAtMs ? 'alone' : 'joining';
    if (this.#applier.isBehind(this.#settings.gapToleranceMs, nowMs)) return 'joining';
    for (const peer of this.#peers.values()) if (!isInSync(peer, this.#settings, nowMs)) return 'joining';
    return 'inSync';
  }
}
