// SPDX-License-Identifier: Apache-2.0
import { readU16 } from '../../lib/bytes.ts';
import { writeMacAddresses } from '../../wire/ethernet.ts';
import { IpProtocol, Ipv4Flag, Ipv4Offset } from '../../wire/ipv4.ts';
import { Ipv6Offset } from '../../wire/ipv6.ts';
import { TcpOffset } from '../../wire/tcp.ts';
import { writeTransportChecksum } from '../../wire/transport-checksum.ts';
import { UdpOffset } from '../../wire/udp.ts';
import { type Answers, Problem } from './answers.ts';
import type { Leases } from './leases.ts';
import type { NextHop } from './next-hop.ts';
import { Fragment, type Packet } from './packet.ts';
import type { PendingFrames } from './pending-frames.ts';
import { noBatch } from './publisher-watch.ts';
import { Drop, type Tally } from './tally.ts';
import { TokenBucket } from './token-bucket.ts';

/** ICMP errors that the engine sends of its own, bounded as in Linux (icmp_msgs_per_sec, icmp_msgs_burst). */
const errorsPerSecond = 1000;
const errorsBurst = 50;

/** Where frames wait for their next hop, and SYNs for the publication of their connections. */
export interface EgressQueues {
  readonly pending: PendingFrames;
  readonly unpublished: PendingFrames;
}

/** Lets packets leave, if route, TTL and size allow it: at once, or when the next hop is known. */
export class Egress {
  /** The time of the batch in progress. */
  nowMs = 0;
  readonly #leases: Leases;
  readonly #pending: PendingFrames;
  readonly #unpublished: PendingFrames;
  readonly #tally: Tally;
  readonly #answers: Answers;
  readonly #errorBudget = new TokenBucket(errorsPerSecond, errorsBurst);

  constructor(leases: Leases, queues: EgressQueues, tally: Tally, answers: Answers) {
    this.#leases = leases;
    this.#pending = queues.pending;
    this.#unpublished = queues.unpublished;
    this.#tally = tally;
    this.#answers = answers;
  }

  /**
   * Whether route, TTL and size let the packet go on, with `inFront` bytes more. Otherwise it is counted, and its sender
   * gets an ICMP error from the virtual address, which `virtual` holds in words from `at` on.
   */
  mayLeave(packet: Packet, inFront: number, hop: NextHop, leaseSlot: number, virtual: Int32Array, at: number): boolean {
    const egress = hop.port;
    if (hop.state === 'unreachable' || egress === undefined) {
      this.#tally.drops[Drop.noRoute]! += 1;
      return false;
    }
    const { memory, ip } = packet;
    const { segmentSize } = packet.frame;
    const tooOld = memory[ip + (packet.ipv6 ? Ipv6Offset.hopLimit : Ipv4Offset.ttl)]! <= 1;
    const largest =
      segmentSize === 0 ? packet.length : packet.transport - ip + packet.transportHeaderLength + segmentSize;
    const room = egress.mtu - inFront;
    if (!tooOld && largest <= room) return true;
    this.#tally.drops[tooOld ? Drop.ttlExceeded : Drop.tooBig]! += 1;
    if (tooOld) this.explain(packet, leaseSlot, virtual, at, Problem.timeExceeded, 0);
    else if (mayNotBeFragmented(packet)) this.explain(packet, leaseSlot, virtual, at, Problem.tooBig, room);
    return false;
  }

  /**
   * Sends the sender an ICMP error, unless the packet is an ICMP error or a later fragment (RFC 1122 section 3.2.2,
   * RFC 4443 section 2.4). The rate is bounded, except for errors about the size: path MTU discovery waits for them
   * (as in Linux).
   */
  explain(packet: Packet, leaseSlot: number, virtual: Int32Array, at: number, problem: Problem, mtu: number): void {
    const { protocol } = packet;
    if (packet.fragment === Fragment.later || (protocol !== IpProtocol.tcp && protocol !== IpProtocol.udp)) return;
    if (problem !== Problem.tooBig && !this.#errorBudget.take(this.nowMs)) {
      this.#tally.errorsSuppressed += 1;
      return;
    }
    if (!this.#answers.icmpError(packet, virtual, at, problem, mtu)) {
      this.#tally.drops[Drop.transmitFailed]! += 1;
      return;
    }
    this.#leases.use(leaseSlot);
    if (problem !== Problem.timeExceeded) this.#tally.unreachablesSent += 1;
  }

  /**
   * Sends a packet that `mayLeave`, rewritten, or keeps a copy until its next hop has answered. A SYN of which the peers are
   * told with `batch` waits for that; one that cannot wait leaves at once, as those beyond the budget do.
   */
  transmit(packet: Packet, hop: NextHop, leaseSlot: number, batch: number = noBatch): void {
    const { frame, memory, ethernet } = packet;
    const egress = hop.port!;
    // The bytes behind the packet are the padding of a short Ethernet frame.
    frame.length = packet.end - ethernet;
    if (batch !== noBatch && this.#wait(this.#unpublished, packet, hop, leaseSlot, batch)) return;
    if (hop.state === 'resolved') {
      writeMacAddresses(memory, ethernet, hop.macAddress, egress.macAddress);
      if (egress.transmitInPlace(frame)) this.#leases.use(leaseSlot);
      else this.#tally.drops[Drop.transmitFailed]! += 1;
      return;
    }
    if (!this.#wait(this.#pending, packet, hop, leaseSlot, noBatch)) this.#tally.drops[Drop.neighbourQueueFull]! += 1;
  }

  /** Keeps a copy. False: there is no room, or the frame is one that has still to be cut into segments. */
  #wait(queue: PendingFrames, packet: Packet, hop: NextHop, leaseSlot: number, batch: number): boolean {
    const { frame, memory, ethernet } = packet;
    if (frame.segmentSize !== 0) return false;
    const at = queue.hold(memory, ethernet, frame.length, hop, leaseSlot, batch, this.nowMs);
    if (at < 0) return false;
    if (!packet.checksumPartial) return true;
    // A copy is sent as an ordinary frame: nobody fills in its checksum later.
    const { transport, end, protocol } = packet;
    const field = protocol === IpProtocol.udp ? UdpOffset.checksum : TcpOffset.checksum;
    const copy = at - ethernet;
    writeTransportChecksum(queue.memory, copy + packet.ip, copy + transport, end - transport, field, protocol);
    return true;
  }
}

/** IPv6 packets are never fragmented on their way (RFC 8200 section 5). */
function mayNotBeFragmented(packet: Packet): boolean {
  return packet.ipv6 || (readU16(packet.memory, packet.ip + Ipv4Offset.fragment) & Ipv4Flag.dontFragment) !== 0;
}
