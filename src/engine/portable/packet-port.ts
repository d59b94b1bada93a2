// SPDX-License-Identifier: Apache-2.0

/**
 * One received frame, where it lies in the receive ring. The object is reused for every frame of a port: take what you
 * need before returning.
 */
export interface Frame {
  /** The whole mapped ring. The frame may be rewritten in place, and transmitted from there. */
  readonly memory: Uint8Array;
  /** Where the Ethernet header begins in `memory`. */
  offset: number;
  /** In bytes, from the Ethernet header on. */
  length: number;
  /**
   * The transport checksum field holds only the folded pseudo-header sum (not complemented), to be completed on
   * transmission: TP_STATUS_CSUMNOTREADY, VIRTIO_NET_HDR_F_NEEDS_CSUM.
   */
  checksumPartial: boolean;
  /** Segment size of a merged or not yet segmented frame; 0 for an ordinary one. */
  segmentSize: number;
}

/** An interface that the engine receives from and transmits to. Everything is non-blocking. */
export interface PacketPort {
  readonly interface: string;
  readonly interfaceIndex: number;
  /** 6 bytes. */
  readonly macAddress: Uint8Array;
  readonly mtu: number;
  /**
   * Hands at most `framesMax` waiting frames that were addressed to this host, or broadcast, to `handle`. Their ring
   * slots stay taken until `release`. Returns how many were handed over.
   */
  receive(framesMax: number, handle: (frame: Frame, port: PacketPort) => void): number;
  /** Queues a frame that lies in some port's ring, as it now is. It must stay untouched until `flush`. False: queue full. */
  transmitInPlace(frame: Frame): boolean;
  /** Queues a copy of `length` bytes (at most 2048) from `memory`. False: queue full. */
  transmitCopy(memory: Uint8Array, offset: number, length: number): boolean;
  /** How many frames wait for `flush`. */
  readonly queued: number;
  /** Sends what was queued. Returns how many frames the kernel refused. */
  flush(): number;
  /** Forgets what was queued and not sent. */
  discard(): void;
  /** Gives the received frames' slots back to the kernel. Call after every port has flushed. */
  release(): void;
  readonly counters: { truncated: number; vlanTagged: number; receiveOverrun: number };
}
