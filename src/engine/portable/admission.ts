// SPDX-License-Identifier: Apache-2.0
import { isHalfOpenTcpState } from '../../connection/lifecycle.ts';
import { udpState } from '../../connection/timeouts.ts';
import { TcpState } from '../../model/tcp-state.ts';
import { IpProtocol } from '../../wire/ipv4.ts';
import { TcpFlag, TcpOffset } from '../../wire/tcp.ts';
import type { DropReason } from '../engine.ts';
import { type Answers, Problem } from './answers.ts';
import type { Connections } from './connections.ts';
import type { Destinations } from './destinations.ts';
import type { Egress } from './egress.ts';
import { absent, EntryFlag, EntryWord, KeyWord } from './entry-layout.ts';
import type { Leases } from './leases.ts';
import { Fragment, type Packet } from './packet.ts';
import type { RunningService } from './running-service.ts';
import { selectDestination } from './selection.ts';
import { Drop, type Tally } from './tally.ts';

export interface AdmissionParts {
  readonly destinations: Destinations;
  readonly connections: Connections;
  readonly leases: Leases;
  readonly egress: Egress;
  readonly answers: Answers;
  readonly tally: Tally;
}

/** Decides about a packet for a virtual service that belongs to no entry: schedules, refuses or drops it. */
export class Admission {
  readonly #destinations: Destinations;
  readonly #connections: Connections;
  readonly #leases: Leases;
  readonly #egress: Egress;
  readonly #answers: Answers;
  readonly #tally: Tally;

  constructor({ destinations, connections, leases, egress, answers, tally }: AdmissionParts) {
    this.#destinations = destinations;
    this.#connections = connections;
    this.#leases = leases;
    this.#egress = egress;
    this.#answers = answers;
    this.#tally = tally;
  }

  /** An entry for a TCP segment, or `absent`. `begins`: it is a SYN. */
  admitTcp(packet: Packet, service: RunningService, begins: boolean, nowMs: number): number {
    // Client port 0 is reserved: no connection has it, and an entry with it would be found as its prefix's template.
    if (packet.key[KeyWord.ports]! >>> 16 === 0) {
      this.#drop('malformedHeader');
      return absent;
    }
    // The entry begins in NONE; the segment itself, once followed, brings it to SYN_RECV.
    if (begins) return this.#schedule(packet, service, TcpState.none, nowMs);
    if (this.#leases.inGrace(service.leaseSlot)) {
      this.#drop('graceUnknownConnection');
      return absent;
    }
    const flags = packet.memory[packet.transport + TcpOffset.flags]!;
    const isReset = (flags & TcpFlag.rst) !== 0;
    // A client never sends a SYN with ACK first.
    const isMidStream = (flags & (TcpFlag.rst | TcpFlag.syn)) === 0;
    if (isMidStream && this.#connections.sloppyTcp && service.compiled.selector.shape === 'hash') {
      // As in IPVS, but ESTABLISHED at once, in the second class: the hash gives the real server that it had before.
      return this.#schedule(packet, service, TcpState.established, nowMs);
    }
    this.#drop('unknownConnection');
    if (!isReset) this.#refuse(packet, service);
    return absent;
  }

  /** An entry for the first packet of a UDP flow, or `absent`: half-open until a second one comes. */
  admitUdp(packet: Packet, service: RunningService, nowMs: number): number {
    return this.#schedule(packet, service, udpState, nowMs);
  }

  /** A real server for one packet of an `ops` service, without an entry; -1 when there is none. */
  admitOnePacket(packet: Packet, service: RunningService, nowMs: number): number {
    const destination = this.#choose(packet.key, service, nowMs);
    if (destination < 0) this.#refuseService(packet, service);
    else {
      this.#destinations.countConnection(destination);
      this.#destinations.countRate(destination, nowMs);
    }
    return destination;
  }

  #schedule(packet: Packet, service: RunningService, state: TcpState, nowMs: number): number {
    const { key } = packet;
    const isTcp = packet.protocol === IpProtocol.tcp;
    const { watch } = this.#connections.publisher;
    // Peers hear of a UDP flow with its second packet, and nobody sends the first one again.
    if (isTcp ? !watch.keepsUp(nowMs) : !watch.isAlive(nowMs)) {
      this.#drop('noPublisher');
      return absent;
    }
    if (isTcp && !this.#connections.makeEstablishedRoom(nowMs)) {
      this.#drop('tableFull');
      return absent;
    }
    const destination = this.#choose(key, service, nowMs);
    if (destination < 0 || !this.#makeReplyUnique(key, destination, nowMs)) {
      this.#refuseService(packet, service);
      return absent;
    }
    return this.#connections.open(key, destination, state, !isTcp || isHalfOpenTcpState(state), nowMs);
  }

  /** The real server of the client's template while it may be used, else the selector's choice, remembered. */
  #choose(key: Int32Array, service: RunningService, nowMs: number): number {
    const { persistence } = service.compiled.service;
    if (persistence === undefined) return selectDestination(service, this.#destinations, key, nowMs);
    const { templates } = this.#connections;
    const bound = templates.find(service, persistence, key, nowMs);
    if (bound >= 0) return bound;
    const destination = selectDestination(service, this.#destinations, key, nowMs);
    if (destination < 0) return destination;
    this.#connections.makeHalfOpenRoom(nowMs);
    templates.bind(persistence, key, destination, nowMs);
    return destination;
  }

  /**
   * Two virtual services may lead one client port to one real server, whose replies could then not be told apart. The
   * older connection gives way when it is over or not yet established.
   */
  #makeReplyUnique(key: Int32Array, destination: number, nowMs: number): boolean {
    const rival = this.#connections.table.findReplyOf(key, destination);
    if (rival === absent) return true;
    if (this.#isEstablished(rival) && !this.#connections.hasExpired(rival, nowMs)) return false;
    this.#connections.close(rival, nowMs);
    return true;
  }

  #isEstablished(entry: number): boolean {
    const head = this.#connections.table.words[entry + EntryWord.head]!;
    if ((head & 0xff) === IpProtocol.udp) return (head & EntryFlag.halfOpen) === 0;
    return this.#connections.stateOf(entry) === TcpState.established;
  }

  #refuseService(packet: Packet, service: RunningService): void {
    this.#drop('noRealServer');
    this.#refuse(packet, service);
  }

  /** A reset, or for UDP an ICMP port unreachable (RFC 1122 section 4.1.3.1). */
  #refuse(packet: Packet, service: RunningService): void {
    if (packet.protocol === IpProtocol.udp) {
      this.#egress.explain(packet, service.leaseSlot, packet.key, KeyWord.virtualAddress, Problem.portUnreachable, 0);
      return;
    }
    // The length of a fragmented segment is not known yet, nor the number that a reset would have to acknowledge.
    if (packet.fragment !== Fragment.whole) return;
    if (!this.#answers.reset(packet)) {
      this.#drop('transmitFailed');
      return;
    }
    this.#leases.use(service.leaseSlot);
    this.#tally.resetsSent += 1;
  }

  #drop(reason: DropReason): void {
    this.#tally.drops[Drop[reason]]! += 1;
  }
}
