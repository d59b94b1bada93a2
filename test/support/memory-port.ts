// SPDX-License-Identifier: Apache-2.0
import type { Frame, PacketPort } from '../../src/engine/portable/packet-port.ts';

export interface SentFrame {
  readonly bytes: Uint8Array;
  readonly checksumPartial: boolean;
  readonly segmentSize: number;
}

export interface FrameOptions {
  readonly checksumPartial?: boolean;
  readonly segmentSize?: number;
}

/** The bytes around a frame in the ring, which show a write beyond it. */
const guardByte = 0xa5;
const guardLength = 64;

/** A packet port in memory. What is sent is kept until `taken`. */
export class MemoryPort implements PacketPort {
  readonly interface: string;
  readonly interfaceIndex: number;
  readonly macAddress: Uint8Array;
  mtu = 1500;
  /** `transmitInPlace` and `transmitCopy` refuse beyond this many. */
  queueMax = 4096;
  readonly counters = { truncated: 0, vlanTagged: 0, receiveOverrun: 0 };
  readonly #waiting: { bytes: Uint8Array; options: FrameOptions }[] = [];
  readonly #queue: (() => SentFrame)[] = [];
  #sent: SentFrame[] = [];
  readonly #memory = new Uint8Array(1 << 18);
  readonly #frame: Frame;

  constructor(name: string, index: number) {
    this.interface = name;
    this.interfaceIndex = index;
    this.macAddress = Uint8Array.of(2, 0, 0, 0, 0xd0, index);
    this.#frame = { memory: this.#memory, offset: 0, length: 0, checksumPartial: false, segmentSize: 0 };
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** A frame arrives. */
  deliver(bytes: Uint8Array, options: FrameOptions = {}): void {
    this.#waiting.push({ bytes: Uint8Array.from(bytes), options });
  }

  /** The frames sent since the last call. */
  taken(): SentFrame[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }

  receive(framesMax: number, handle: (frame: Frame, port: PacketPort) => void): number {
    let offset = guardLength;
    let count = 0;
    for (; count < framesMax && this.#waiting.length > 0; count += 1) {
      const { bytes, options } = this.#waiting[0]!;
      const end = offset + bytes.length;
      if (end + guardLength > this.#memory.length) break;
      this.#waiting.shift();
      this.#memory.fill(guardByte, offset - guardLength, end + guardLength);
      this.#memory.set(bytes, offset);
      this.#frame.offset = offset;
      this.#frame.length = bytes.length;
      this.#frame.checksumPartial = options.checksumPartial ?? false;
      this.#frame.segmentSize = options.segmentSize ?? 0;
      handle(this.#frame, this);
      this.#checkGuards(offset, end);
      offset = end + 2 * guardLength;
    }
    return count;
  }

  transmitInPlace(frame: Frame): boolean {
    if (this.#queue.length >= this.queueMax) return false;
    const { memory, offset, length, checksumPartial, segmentSize } = frame;
    this.#queue.push(() => ({ bytes: memory.slice(offset, offset + length), checksumPartial, segmentSize }));
    return true;
  }

  transmitCopy(memory: Uint8Array, offset: number, length: number): boolean {
    if (this.#queue.length >= this.queueMax || length > 2048) return false;
    const bytes = memory.slice(offset, offset + length);
    this.#queue.push(() => ({ bytes, checksumPartial: false, segmentSize: 0 }));
    return true;
  }

  flush(): number {
    for (const read of this.#queue) this.#sent.push(read());
    this.#queue.length = 0;
    return 0;
  }

  discard(): void {
    this.#queue.length = 0;
  }

  release(): void {}

  #checkGuards(start: number, end: number): void {
    for (let i = 1; i <= guardLength; i += 1) {
      if (this.#memory[start - i] !== guardByte || this.#memory[end + i - 1] !== guardByte) {
        throw new Error(`${this.interface}: something was written outside the frame`);
      }
    }
  }
}
