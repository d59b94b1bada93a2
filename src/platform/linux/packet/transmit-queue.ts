// SPDX-License-Identifier: Apache-2.0
import { close, errno, MSG_DONTWAIT, SO_SNDBUF, SO_SNDBUFFORCE, SOL_SOCKET, sendmmsg, setsockopt } from '../libc.ts';
import { errnos } from '../system-error.ts';
import {
  copiedFrameLengthMax,
  copyStride,
  iovecLength,
  messageHeaderLength,
  type PacketMemory,
  virtioHeaderLength,
} from './memory.ts';
import {
  bindPacketSocket,
  closeAndThrow,
  openPacketSocket,
  PACKET_QDISC_BYPASS,
  PACKET_VNET_HDR,
  setPacketOption,
} from './packet-socket.ts';

// linux/virtio_net.h: { u8 flags; u8 gso_type; u16 hdr_len; u16 gso_size; u16 csum_start; u16 csum_offset; }
const flagsAt = 0;
const gsoTypeAt = 1;
const headersLengthAt = 2;
const segmentSizeAt = 4;
const checksumStartAt = 6;
export const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
const VIRTIO_NET_HDR_GSO_NONE = 0;
const VIRTIO_NET_HDR_GSO_UDP_L4 = 5;

// struct msghdr in struct mmsghdr, 64 bit
const iovecPointerAt = 16;
const iovecCountAt = 24;

const sendBufferBytes = 8 << 20;

export interface TransmitQueueParts {
  readonly interfaceName: string;
  readonly interfaceIndex: number;
  readonly memory: PacketMemory;
  /** How many frames may wait. */
  readonly capacity: number;
  readonly qdiscBypass: boolean;
  readonly onError: (errno: number) => void;
}

/**
 * Frames that wait for one sendmmsg(2), as pointers to where they lie. A packet socket with protocol 0: it receives
 * nothing. PACKET_VNET_HDR lets the kernel complete checksums and cut merged frames.
 */
export class TransmitQueue {
  #fd: number;
  readonly #memory: PacketMemory;
  readonly #capacity: number;
  readonly #onError: (errno: number) => void;
  #length = 0;

  constructor({ interfaceName, interfaceIndex, memory, capacity, qdiscBypass, onError }: TransmitQueueParts) {
    this.#memory = memory;
    this.#capacity = capacity;
    this.#onError = onError;
    this.#fd = openPacketSocket();
    try {
      setPacketOption(this.#fd, 'PACKET_VNET_HDR', PACKET_VNET_HDR, 1);
      if (qdiscBypass) setPacketOption(this.#fd, 'PACKET_QDISC_BYPASS', PACKET_QDISC_BYPASS, 1);
      if (setsockopt(this.#fd, SOL_SOCKET, SO_SNDBUFFORCE, sendBufferBytes) < 0) {
        setsockopt(this.#fd, SOL_SOCKET, SO_SNDBUF, sendBufferBytes);
      }
      bindPacketSocket(this.#fd, interfaceIndex, 0, interfaceName);
    } catch (error) {
      closeAndThrow([this.#fd], error);
    }
    this.#prepareMessages();
  }

  get length(): number {
    return this.#length;
  }

  /** Queues the frame at `base + offset`, whose virtio header (right before it) is set from the arguments. */
  pushInPlace(
    memory: Uint8Array,
    base: number,
    offset: number,
    length: number,
    checksumPartial: boolean,
    segmentSize: number,
  ): boolean {
    if (this.#length === this.#capacity) return false;
    const header = offset - virtioHeaderLength;
    memory[header + flagsAt] = checksumPartial ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
    if (segmentSize === 0) {
      memory[header + gsoTypeAt] = VIRTIO_NET_HDR_GSO_NONE;
      writeLittleEndian(memory, header + headersLengthAt, 0);
      writeLittleEndian(memory, header + segmentSizeAt, 0);
    } else {
      writeLittleEndian(memory, header + segmentSizeAt, segmentSize);
      if (checksumPartial) writeLittleEndian(memory, header + headersLengthAt, headersLength(memory, offset, length));
    }
    this.#point(base + header, length + virtioHeaderLength);
    return true;
  }

  pushCopy(memory: Uint8Array, offset: number, length: number): boolean {
    if (this.#length === this.#capacity || length > copiedFrameLengthMax) return false;
    const { bytes, address, copiesAt } = this.#memory;
    const start = copiesAt + this.#length * copyStride;
    bytes.fill(0, start, start + virtioHeaderLength);
    const target = start + virtioHeaderLength;
    for (let i = 0; i < length; i += 1) bytes[target + i] = memory[offset + i]!;
    this.#point(address + start, length + virtioHeaderLength);
    return true;
  }

  /** Returns how many frames the kernel refused. */
  flush(): number {
    const total = this.#length;
    const messages = this.#memory.address + this.#memory.messagesAt;
    let refused = 0;
    let done = 0;
    while (done < total) {
      const sent = sendmmsg(this.#fd, messages + done * messageHeaderLength, total - done, MSG_DONTWAIT);
      if (sent > 0) {
        done += sent;
        continue;
      }
      const error = errno();
      if (error === errnos.EINTR) continue;
      this.#onError(error);
      // The error concerns the first frame only, unless the interface itself has gone or the send buffer is full.
      const all = error === errnos.ENETDOWN || error === errnos.ENXIO || error === errnos.EAGAIN;
      refused += all ? total - done : 1;
      done += all ? total - done : 1;
    }
    this.#length = 0;
    return refused;
  }

  discard(): void {
    this.#length = 0;
  }

  /** Frames that are queued afterwards are refused. */
  close(): void {
    close(this.#fd);
    this.#fd = -1;
    this.#length = 0;
  }

  #point(address: number, length: number): void {
    const { words, iovecsAt } = this.#memory;
    const at = (iovecsAt + this.#length * iovecLength) >> 2;
    words[at] = address;
    words[at + 1] = address / 0x1_0000_0000;
    words[at + 2] = length;
    this.#length += 1;
  }

  #prepareMessages(): void {
    const { bytes, address, messagesAt, iovecsAt } = this.#memory;
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < this.#capacity; i += 1) {
      const message = messagesAt + i * messageHeaderLength;
      view.setBigUint64(message + iovecPointerAt, BigInt(address + iovecsAt + i * iovecLength), true);
      view.setBigUint64(message + iovecCountAt, 1n, true);
    }
  }
}

/**
 * Ethernet to transport header, in bytes. The receiver's hint may be the whole frame; the sender makes this many bytes
 * contiguous (net/packet/af_packet.c: packet_alloc_skb), and 64 KiB in one piece are slow to get.
 */
function headersLength(memory: Uint8Array, offset: number, length: number): number {
  const header = offset - virtioHeaderLength;
  const transport = memory[header + checksumStartAt]! | (memory[header + checksumStartAt + 1]! << 8);
  if (memory[header + gsoTypeAt] === VIRTIO_NET_HDR_GSO_UDP_L4) return Math.min(transport + 8, length);
  return Math.min(transport + (memory[offset + transport + 12]! >> 4) * 4, length);
}

function writeLittleEndian(memory: Uint8Array, offset: number, value: number): void {
  memory[offset] = value;
  memory[offset + 1] = value >>> 8;
}
