// SPDX-License-Identifier: Apache-2.0
import { MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, memoryAt, mmap } from '../libc.ts';

export interface PacketMemoryLayout {
  readonly slots: number;
  readonly slotLength: number;
  /** How many frames larger than a slot can be held at once. */
  readonly superFrames: number;
  /** How many frames can be queued for transmission. */
  readonly queueLength: number;
}

/** linux/virtio_net.h: struct virtio_net_hdr lies right before the Ethernet header of every frame. */
export const virtioHeaderLength = 10;
/** A merged frame has at most 64 KiB of IP packet; Ethernet and virtio headers come on top. */
export const superFrameLength = 68 * 1024;
/** The longest frame that is transmitted as a copy. */
export const copiedFrameLengthMax = 2048;
export const copyStride = 2176;
/** asm/socket.h, 64 bit: struct mmsghdr, struct iovec. */
export const messageHeaderLength = 64;
export const iovecLength = 16;

/**
 * All memory of one port in a single mapping, so that every frame, wherever it lies, has the same base: the kernel's
 * receive ring, frames too large for its slots, copies to transmit, and the system call's arrays.
 *
 * The address range is never unmapped: a view of unmapped memory kills the process that touches it. `detach` puts
 * empty pages in place of the ring, which costs address space only.
 */
export class PacketMemory {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly superFramesAt: number;
  readonly copiesAt: number;
  readonly messagesAt: number;
  readonly iovecsAt: number;
  readonly #ringLength: number;

  constructor(layout: PacketMemoryLayout) {
    this.#ringLength = layout.slots * layout.slotLength;
    this.superFramesAt = this.#ringLength;
    this.copiesAt = this.superFramesAt + layout.superFrames * superFrameLength;
    this.messagesAt = this.copiesAt + layout.queueLength * copyStride;
    this.iovecsAt = this.messagesAt + layout.queueLength * messageHeaderLength;
    const length = this.iovecsAt + layout.queueLength * iovecLength;
    const anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    this.address = mmap(0, length, anonymous, -1, 'reserve memory for packets');
    const memory = memoryAt(this.address, length);
    this.bytes = new Uint8Array(memory);
    this.words = new Int32Array(memory);
  }

  /** `fd`: a packet socket whose ring, of this layout, is set up. */
  attach(fd: number): void {
    mmap(this.address, this.#ringLength, MAP_SHARED | MAP_FIXED, fd, 'map the packet ring');
  }

  /** To be called before the socket is closed. */
  detach(): void {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    mmap(this.address, this.#ringLength, flags, -1, 'give the packet ring back');
  }
}
