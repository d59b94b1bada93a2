// SPDX-License-Identifier: Apache-2.0
import type { Frame, PacketPort } from '../../../engine/portable/packet-port.ts';
import type { IpAddress } from '../../../lib/ip-address.ts';
import {
  close,
  errno,
  getsockopt,
  if_nametoindex,
  MSG_DONTWAIT,
  MSG_TRUNC,
  pinnedMemory,
  recv,
  SO_ERROR,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOL_SOCKET,
  setsockopt,
} from '../libc.ts';
import { type InterfaceFacts, interfaceFacts } from '../netlink/interface-facts.ts';
import { errnos, SystemError } from '../system-error.ts';
import { SolicitedNodeGroups } from '../vrrp/solicited-node-groups.ts';
import { PacketMemory, type PacketMemoryLayout, superFrameLength, virtioHeaderLength } from './memory.ts';
import {
  attachHostTrafficFilter,
  bindPacketSocket,
  boundInterface,
  closeAndThrow,
  ETH_P_ALL,
  openPacketSocket,
  PACKET_COPY_THRESH,
  PACKET_IGNORE_OUTGOING,
  PACKET_RX_RING,
  PACKET_STATISTICS,
  PACKET_VERSION,
  PACKET_VNET_HDR,
  SOL_PACKET,
  setPacketOption,
} from './packet-socket.ts';
import { TransmitQueue, VIRTIO_NET_HDR_F_NEEDS_CSUM } from './transmit-queue.ts';

export interface PacketRingOptions extends Partial<PacketMemoryLayout> {
  /** Skips the traffic control of the interface; a device that cannot segment then loses merged frames. */
  readonly qdiscBypass?: boolean;
  /** Called when the kernel reports an error that is not about a single frame, as when the interface goes down. */
  readonly onError?: (error: SystemError) => void;
}

// linux/if_packet.h: struct tpacket2_hdr { u32 status, len, snaplen; u16 mac, net; u32 sec, nsec; u16 vlan_tci, ... }
const TPACKET_V2 = 1;
const lengthAt = 1;
const capturedLengthAt = 2;
const macAndNetAt = 3;
const TP_STATUS_KERNEL = 0;
const TP_STATUS_USER = 1;
const TP_STATUS_COPY = 2;
const TP_STATUS_LOSING = 4;
const TP_STATUS_VLAN_VALID = 16;

const macAddressLength = 6;
const blockLength = 1 << 16;
const ringLengthDefault = 8 << 20;
const slotLengthDefault = 2048;
/** Bytes before the Ethernet header of a slot: tpacket2_hdr, sockaddr_ll, virtio_net_hdr, and their alignment. */
const slotHeadroom = 96;
const superFramesDefault = 32;
const queueLengthDefault = 1024;
/** Copies of frames larger than a slot wait in the socket's queue, each charged with twice its size. */
const receiveBufferBytes = 32 << 20;

/** A received frame: in a slot of the ring, or among the super-frames behind it. */
class RingFrame implements Frame {
  readonly memory: Uint8Array;
  /** The address of `memory`. */
  readonly base: number;
  offset = 0;
  length = 0;
  checksumPartial = false;
  segmentSize = 0;

  constructor(memory: PacketMemory) {
    this.memory = memory.bytes;
    this.base = memory.address;
  }
}

/**
 * One interface: a TPACKET_V2 receive ring, mapped, and a transmit queue beside it. Every call belongs to one thread.
 * `receive` and `flush` never throw; frames that the kernel refuses are counted, and errors of the interface go to
 * `onError`. When the interface comes up again, the port works again; when another interface is created under its name,
 * `reopen` moves to that.
 */
export class PacketRing implements PacketPort {
  readonly interface: string;
  interfaceIndex = 0;
  macAddress: Uint8Array = new Uint8Array(macAddressLength);
  mtu = 0;
  readonly counters = { truncated: 0, vlanTagged: 0, receiveOverrun: 0, interfaceErrors: 0 };
  /** For poll(2): readable when frames wait. `reopen` changes it. */
  fd = -1;

  readonly #layout: PacketMemoryLayout;
  readonly #qdiscBypass: boolean;
  readonly #memory: PacketMemory;
  readonly #words: Int32Array;
  readonly #slots: number;
  readonly #wordsPerSlot: number;
  readonly #superFrames: number;
  readonly #frame: RingFrame;
  #queue: TransmitQueue;
  #groups: SolicitedNodeGroups | undefined;
  #answered: readonly IpAddress[] = [];
  readonly #onError: (error: SystemError) => void;
  /** struct tpacket_stats { u32 packets, drops; } */
  readonly #statistics = pinnedMemory(8);
  #next = 0;
  #taken = 0;
  #superFramesTaken = 0;
  #losing = false;

  /** Throws a sentence when there is no such interface or the privilege is missing. */
  constructor(interfaceName: string, options: PacketRingOptions = {}) {
    const facts = ethernetFacts(interfaceName);
    this.interface = interfaceName;
    this.#onError = options.onError ?? (() => undefined);
    const layout = layoutFor(facts.mtu, options);
    this.#layout = layout;
    this.#qdiscBypass = options.qdiscBypass ?? false;
    this.#slots = layout.slots;
    this.#wordsPerSlot = layout.slotLength / 4;
    this.#superFrames = layout.superFrames;
    this.#memory = new PacketMemory(layout);
    this.#words = this.#memory.words;
    this.#frame = new RingFrame(this.#memory);
    this.#queue = this.#open(facts);
  }

  /**
   * Follows an interface that was deleted and created again, or went to another namespace and came back: the sockets
   * stay bound to the former one. True when that was so and the port works again: its index, MAC address and `fd` have
   * changed then. To be called between `release` and `receive`. Throws a sentence when there is an interface that
   * cannot be opened; the port is closed then, until a later call succeeds.
   */
  reopen(): boolean {
    const index = if_nametoindex(this.interface);
    if (index === 0 || boundInterface(this.fd) === index) return false;
    const facts = ethernetFacts(this.interface);
    this.close();
    this.#queue = this.#open(facts);
    return true;
  }

  /** Receives from now on neighbour solicitations for these addresses, and only these. */
  answerFor(addresses: readonly IpAddress[]): void {
    this.#answered = addresses;
    this.#groups?.follow(addresses);
  }

  get queued(): number {
    return this.#queue.length;
  }

  receive(framesMax: number, handle: (frame: Frame, port: PacketPort) => void): number {
    const words = this.#words;
    let handed = 0;
    while (handed < framesMax && this.#taken < this.#slots) {
      const slot = this.#next * this.#wordsPerSlot;
      // Acquire semantics: after this load everything is visible that the kernel wrote before the status.
      const status = Atomics.load(words, slot);
      if ((status & TP_STATUS_USER) === 0) break;
      const copied = (status & TP_STATUS_COPY) !== 0;
      if (copied && this.#superFramesTaken === this.#superFrames) break;
      this.#taken += 1;
      this.#next = this.#next + 1 === this.#slots ? 0 : this.#next + 1;
      if ((status & TP_STATUS_LOSING) !== 0) this.#losing = true;
      if (!this.#take(slot, copied)) {
        this.counters.truncated += 1;
      } else if ((status & TP_STATUS_VLAN_VALID) !== 0) {
        this.counters.vlanTagged += 1;
      } else {
        handed += 1;
        handle(this.#frame, this);
      }
    }
    // An error of the socket (ENETDOWN) keeps poll(2) from waiting until it is read.
    if (handed === 0) this.#readSocketError();
    return handed;
  }

  transmitInPlace(frame: Frame): boolean {
    const { memory, base, offset, length, checksumPartial, segmentSize } = frame as RingFrame;
    return this.#queue.pushInPlace(memory, base, offset, length, checksumPartial, segmentSize);
  }

  transmitCopy(memory: Uint8Array, offset: number, length: number): boolean {
    return this.#queue.pushCopy(memory, offset, length);
  }

  flush(): number {
    return this.#queue.length === 0 ? 0 : this.#queue.flush();
  }

  discard(): void {
    this.#queue.discard();
  }

  release(): void {
    const words = this.#words;
    let slot = this.#next - this.#taken;
    if (slot < 0) slot += this.#slots;
    for (; this.#taken > 0; this.#taken -= 1) {
      Atomics.store(words, slot * this.#wordsPerSlot, TP_STATUS_KERNEL);
      slot = slot + 1 === this.#slots ? 0 : slot + 1;
    }
    this.#superFramesTaken = 0;
    if (this.#losing) this.#countOverrun();
  }

  /** Frees the sockets and the ring. Frames that are still held read as zeros. */
  close(): void {
    if (this.fd === -1) return;
    this.#memory.detach();
    this.#queue.close();
    this.#groups?.close();
    this.#groups = undefined;
    close(this.fd);
    this.fd = -1;
  }

  #open({ index, macAddress, mtu }: InterfaceFacts): TransmitQueue {
    const { interface: name } = this;
    const fd = openPacketSocket();
    let queue: TransmitQueue | undefined;
    const groups = new SolicitedNodeGroups(fd, index);
    try {
      openRing(fd, this.#layout);
      this.#memory.attach(fd);
      queue = new TransmitQueue({
        interfaceName: name,
        interfaceIndex: index,
        memory: this.#memory,
        capacity: this.#layout.queueLength,
        qdiscBypass: this.#qdiscBypass,
        onError: (error) => this.#reportTransmitError(error),
      });
      groups.follow(this.#answered);
      // Bound last: from here on frames arrive.
      bindPacketSocket(fd, index, ETH_P_ALL, name);
    } catch (error) {
      this.#memory.detach();
      queue?.close();
      groups.close();
      closeAndThrow([fd], error);
    }
    this.fd = fd;
    this.interfaceIndex = index;
    this.macAddress = macAddress;
    this.mtu = mtu;
    this.#groups = groups;
    this.#next = 0;
    this.#taken = 0;
    this.#superFramesTaken = 0;
    return queue;
  }

  /** Points the frame at the slot's frame. False when the kernel could not keep the whole of it. */
  #take(slot: number, copied: boolean): boolean {
    const words = this.#words;
    const frame = this.#frame;
    const length = words[slot + lengthAt]!;
    if (copied) {
      const start = this.#memory.superFramesAt + this.#superFramesTaken * superFrameLength;
      if (!this.#fetchSuperFrame(start, length)) return false;
      this.#superFramesTaken += 1;
      frame.offset = start + virtioHeaderLength;
    } else {
      if (words[slot + capturedLengthAt] !== length) return false;
      frame.offset = slot * 4 + (words[slot + macAndNetAt]! & 0xffff);
    }
    frame.length = length;
    const memory = frame.memory;
    const header = frame.offset - virtioHeaderLength;
    frame.checksumPartial = (memory[header]! & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0;
    frame.segmentSize = memory[header + 1] === 0 ? 0 : memory[header + 4]! | (memory[header + 5]! << 8);
    return true;
  }

  /** The kernel queues the copies in the order of their slots. A length that differs means that the two are out of step. */
  #fetchSuperFrame(start: number, length: number): boolean {
    for (;;) {
      const got = recv(this.fd, this.#memory.address + start, superFrameLength, MSG_DONTWAIT | MSG_TRUNC);
      if (got === length + virtioHeaderLength) return got <= superFrameLength;
      if (got >= 0) {
        while (recv(this.fd, this.#memory.address + start, 0, MSG_DONTWAIT) >= 0);
        return false;
      }
      const error = errno();
      // The socket's pending error comes before its data.
      if (error !== errnos.ENETDOWN && error !== errnos.EINTR) return false;
      if (error === errnos.ENETDOWN) this.#reportReceiveError(error);
    }
  }

  #readSocketError(): void {
    if (getsockopt(this.fd, SOL_SOCKET, SO_ERROR, this.#statistics) < 0) return;
    const error = new DataView(this.#statistics.bytes.buffer).getInt32(0, true);
    if (error !== 0) this.#reportReceiveError(error);
  }

  #countOverrun(): void {
    this.#losing = false;
    // Reading sets the kernel's counters to zero.
    if (getsockopt(this.fd, SOL_PACKET, PACKET_STATISTICS, this.#statistics) < 0) return;
    this.counters.receiveOverrun += new DataView(this.#statistics.bytes.buffer).getUint32(4, true);
  }

  #reportReceiveError(error: number): void {
    this.counters.interfaceErrors += 1;
    this.#onError(new SystemError('recv', error, `receive on ${this.interface}`));
  }

  #reportTransmitError(error: number): void {
    if (error !== errnos.ENETDOWN && error !== errnos.ENXIO) return;
    this.counters.interfaceErrors += 1;
    this.#onError(new SystemError('sendmmsg', error, `transmit on ${this.interface}`));
  }
}

function ethernetFacts(interfaceName: string): InterfaceFacts {
  const facts = interfaceFacts(interfaceName);
  if (facts.macAddress.length === macAddressLength) return facts;
  throw new Error(`interface ${interfaceName} is not Ethernet; the portable engine cannot forward there`);
}

function layoutFor(mtu: number, options: PacketRingOptions): PacketMemoryLayout {
  // Jumbo frames fit into a slot too: only merged frames cost a system call each.
  let slotLength = options.slotLength ?? slotLengthDefault;
  while (options.slotLength === undefined && slotLength < mtu + slotHeadroom && slotLength < blockLength)
    slotLength *= 2;
  const perBlock = blockLength / slotLength;
  const slots = Math.ceil((options.slots ?? ringLengthDefault / slotLength) / perBlock) * perBlock;
  return {
    slots,
    slotLength,
    superFrames: options.superFrames ?? superFramesDefault,
    queueLength: options.queueLength ?? queueLengthDefault,
  };
}

function openRing(fd: number, layout: PacketMemoryLayout): void {
  // PACKET_VERSION and PACKET_VNET_HDR cannot be changed once there is a ring.
  setPacketOption(fd, 'PACKET_VERSION', PACKET_VERSION, TPACKET_V2);
  setPacketOption(fd, 'PACKET_VNET_HDR', PACKET_VNET_HDR, 1);
  setPacketOption(fd, 'PACKET_IGNORE_OUTGOING', PACKET_IGNORE_OUTGOING, 1);
  setPacketOption(fd, 'PACKET_COPY_THRESH', PACKET_COPY_THRESH, 1);
  attachHostTrafficFilter(fd);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBufferBytes) < 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, receiveBufferBytes);
  }
  // struct tpacket_req { unsigned block_size, block_nr, frame_size, frame_nr; }
  const blocks = (layout.slots * layout.slotLength) / blockLength;
  const request = new Uint32Array([blockLength, blocks, layout.slotLength, layout.slots]);
  setPacketOption(fd, 'PACKET_RX_RING', PACKET_RX_RING, new Uint8Array(request.buffer));
}
