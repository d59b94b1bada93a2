// SPDX-License-Identifier: Apache-2.0
import { type BpfMap, valueStride } from './bpf-object.ts';

/** The values of a mapped array in all widths, in host order: little-endian on every machine that this runs on. */
export class MappedArray {
  /** How many values. */
  readonly length: number;
  /** Bytes from one value to the next. */
  readonly stride: number;
  readonly bytes: Uint8Array;
  readonly halves: Uint16Array;
  readonly words: Uint32Array;
  readonly signedWords: Int32Array;
  readonly longs: BigInt64Array;

  constructor(map: BpfMap) {
    this.length = map.maxEntries;
    this.stride = valueStride(map.valueSize);
    const memory = map.memory();
    const size = this.length * this.stride;
    this.bytes = new Uint8Array(memory, 0, size);
    this.halves = new Uint16Array(memory, 0, size >> 1);
    this.words = new Uint32Array(memory, 0, size >> 2);
    this.signedWords = new Int32Array(memory, 0, size >> 2);
    this.longs = new BigInt64Array(memory, 0, size >> 3);
  }

  /** The bytes of one value: a view. */
  value(index: number): Uint8Array {
    return this.bytes.subarray(index * this.stride, (index + 1) * this.stride);
  }

  /** The place of a field, in bytes: to be halved or quartered for the wider views. */
  at(index: number, field: number): number {
    return index * this.stride + field;
  }

  readByte(index: number, field: number): number {
    return this.bytes[this.at(index, field)]!;
  }

  writeByte(index: number, field: number, value: number): void {
    this.bytes[this.at(index, field)] = value;
  }

  readHalf(index: number, field: number): number {
    return this.halves[this.at(index, field) >> 1]!;
  }

  writeHalf(index: number, field: number, value: number): void {
    this.halves[this.at(index, field) >> 1] = value;
  }

  readWord(index: number, field: number): number {
    return this.words[this.at(index, field) >> 2]!;
  }

  readSigned(index: number, field: number): number {
    return this.signedWords[this.at(index, field) >> 2]!;
  }

  writeWord(index: number, field: number, value: number): void {
    this.words[this.at(index, field) >> 2] = value;
  }

  /** A counter of 64 bits, without a BigInt. The high half is read twice, in case the low one wraps in between. */
  readCounter(index: number, field: number): number {
    const at = this.at(index, field) >> 2;
    for (;;) {
      const high = Atomics.load(this.words, at + 1);
      const low = Atomics.load(this.words, at);
      if (Atomics.load(this.words, at + 1) === high) return high * 0x1_0000_0000 + low;
    }
  }

  /** Writes in one store: a reader sees the old value or this one. */
  storeLong(index: number, field: number, value: bigint): void {
    Atomics.store(this.longs, this.at(index, field) >> 3, value);
  }

  loadLong(index: number, field: number): bigint {
    return Atomics.load(this.longs, this.at(index, field) >> 3);
  }
}
