// SPDX-License-Identifier: Apache-2.0
import { type BpfMap, valueStride } from '../../../engine/xdp/bpf-object.ts';
import { close, errno, getpagesize, MAP_SHARED, memoryAt, mmap, type PinnedMemory, pinnedMemory } from '../libc.ts';
import { errnoName, errnos, SystemError } from '../system-error.ts';
import { mapKinds } from './object-file.ts';
import { possibleCpuCount } from './possible-cpus.ts';
import { Attribute, Command, describeMap } from './system-call.ts';

const BPF_F_MMAPABLE = 0x400;
const batchLengthDefault = 4096;
/** Keeps a batch of large values below a megabyte or so. */
const batchBytesMax = 1 << 20;

/** A map by its descriptor, which it owns from then on. */
export class KernelMap implements BpfMap {
  readonly name: string;
  readonly fd: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly #kind: string;
  readonly #flags: number;
  /** map_fd at 0, key at 8, value or next key at 16, flags at 24. */
  readonly #attribute = new Attribute();
  readonly #key: PinnedMemory;
  readonly #nextKey: PinnedMemory;
  /** Allocated when first needed: the value of a mapped array may be megabytes that are never copied. */
  #value: PinnedMemory | undefined;
  #memory: ArrayBuffer | undefined;

  /** Throws one sentence when `fd` is not a map, or has another name. */
  constructor(fd: number, name: string) {
    const facts = describeMap(fd);
    if (facts === undefined) throw new Error(`descriptor ${fd} is not the BPF map ${name}`);
    this.name = name;
    this.fd = fd;
    this.keySize = facts.keySize;
    this.#kind = mapKinds[facts.type] ?? `of type ${facts.type}`;
    this.#flags = facts.flags;
    const isPerCpu = /perCpu/i.test(this.#kind);
    this.valueSize = isPerCpu ? valueStride(facts.valueSize) * possibleCpuCount() : facts.valueSize;
    this.maxEntries = facts.maxEntries;
    this.#key = pinnedMemory(Math.max(8, this.keySize));
    this.#nextKey = pinnedMemory(Math.max(8, this.keySize));
    this.#attribute.words[0] = fd;
    this.#attribute.setAddress(8, this.#key.address);
  }

  lookup(key: Uint8Array, into: Uint8Array): boolean {
    this.#setKey(key);
    if (into.length < this.valueSize) throw this.#wrongLength('value', into.length, this.valueSize);
    const value = this.#valueMemory();
    this.#attribute.setAddress(16, value.address);
    if (this.#attribute.call(Command.mapLookup) < 0) return this.#absent('read');
    into.set(value.bytes);
    return true;
  }

  update(key: Uint8Array, value: Uint8Array): void {
    this.#setKey(key);
    if (value.length !== this.valueSize) throw this.#wrongLength('value', value.length, this.valueSize);
    const pinned = this.#valueMemory();
    pinned.bytes.set(value);
    this.#attribute.setAddress(16, pinned.address);
    if (this.#attribute.call(Command.mapUpdate) >= 0) return;
    const error = errno();
    const full = errnoName(error) === 'E2BIG' || errnoName(error) === 'ENOSPC';
    if (full) throw new Error(`the BPF map ${this.name} is full: it holds ${this.maxEntries} entries`);
    throw new SystemError('bpf', error, `write to the BPF map ${this.name}`);
  }

  delete(key: Uint8Array): boolean {
    this.#setKey(key);
    // A deletion has no value: the kernel refuses the call when the field is not zero.
    this.#attribute.setAddress(16, 0);
    return this.#attribute.call(Command.mapDelete) >= 0 || this.#absent('delete from');
  }

  memory(): ArrayBuffer {
    if (this.#memory !== undefined) return this.#memory;
    if (this.#kind !== 'array' || (this.#flags & BPF_F_MMAPABLE) === 0) {
      throw new Error(`the BPF map ${this.name} cannot be mapped: that takes an array with BPF_F_MMAPABLE`);
    }
    const length = valueStride(this.valueSize) * this.maxEntries;
    const page = getpagesize();
    const mapped = Math.ceil(length / page) * page;
    const address = mmap(0, mapped, MAP_SHARED, this.fd, `map the memory of the BPF map ${this.name}`);
    this.#memory = memoryAt(address, length);
    return this.#memory;
  }

  *keys(): Generator<Uint8Array> {
    let found = this.#next(undefined);
    while (found !== undefined) {
      yield found;
      found = this.#next(found);
    }
  }

  *entries(): Generator<readonly [key: Uint8Array, value: Uint8Array]> {
    for (const key of this.keys()) {
      const value = new Uint8Array(this.valueSize);
      if (this.lookup(key, value)) yield [key, value];
    }
  }

  lookupBatch(
    visit: (keys: Uint8Array, values: Uint8Array, count: number) => void,
    batchLengthMax = batchLengthDefault,
  ): number {
    const entryLength = this.keySize + this.valueSize;
    let batchLength = Math.max(1, Math.min(batchLengthMax, this.maxEntries, Math.floor(batchBytesMax / entryLength)));
    let batch = new BatchAttribute(this, batchLength);
    let total = 0;
    for (;;) {
      const result = batch.next();
      const error = result < 0 ? errno() : 0;
      if (error !== 0 && errnoName(error) === 'ENOSPC') {
        // A bucket of the hash has more entries than fit; the kernel has not moved on.
        batchLength *= 2;
        batch = new BatchAttribute(this, batchLength, batch);
        continue;
      }
      if (error !== 0 && error !== errnos.ENOENT) throw new SystemError('bpf', error, `read the BPF map ${this.name}`);
      const count = batch.count();
      if (count > 0) {
        const keys = batch.keys.bytes.subarray(0, count * this.keySize);
        visit(keys, batch.values.bytes.subarray(0, count * this.valueSize), count);
      }
      total += count;
      if (error !== 0) return total;
    }
  }

  close(): void {
    close(this.fd);
  }

  /** A copy of the key that follows; after a key that has been deleted meanwhile the kernel starts from the first one. */
  #next(key: Uint8Array | undefined): Uint8Array | undefined {
    const attribute = this.#attribute;
    if (key !== undefined) this.#key.bytes.set(key);
    attribute.setAddress(8, key === undefined ? 0 : this.#key.address);
    attribute.setAddress(16, this.#nextKey.address);
    const result = attribute.call(Command.mapNextKey);
    attribute.setAddress(8, this.#key.address);
    if (result >= 0) return this.#nextKey.bytes.slice(0, this.keySize);
    this.#absent('list');
    return undefined;
  }

  #setKey(key: Uint8Array): void {
    if (key.length !== this.keySize) throw this.#wrongLength('key', key.length, this.keySize);
    this.#key.bytes.set(key);
  }

  #valueMemory(): PinnedMemory {
    this.#value ??= pinnedMemory(this.valueSize);
    return this.#value;
  }

  /** False when the last call failed because there is no such key. */
  #absent(verb: string): false {
    const error = errno();
    if (error === errnos.ENOENT) return false;
    throw new SystemError('bpf', error, `${verb} the BPF map ${this.name}`);
  }

  #wrongLength(what: string, length: number, expected: number): RangeError {
    return new RangeError(`a ${what} of the BPF map ${this.name} has ${expected} bytes, not ${length}`);
  }
}

/** The batch part of union bpf_attr, and the two places between which the kernel's position alternates. */
class BatchAttribute {
  readonly keys: PinnedMemory;
  readonly values: PinnedMemory;
  readonly #attribute = new Attribute();
  readonly #positions: readonly [PinnedMemory, PinnedMemory];
  readonly #length: number;
  #begun: boolean;

  constructor(map: BpfMap, length: number, previous?: BatchAttribute) {
    this.keys = pinnedMemory(map.keySize * length);
    this.values = pinnedMemory(map.valueSize * length);
    this.#length = length;
    const positionLength = Math.max(8, map.keySize);
    this.#begun = previous === undefined ? false : previous.#begun;
    this.#positions =
      previous === undefined ? [pinnedMemory(positionLength), pinnedMemory(positionLength)] : previous.#positions;
    this.#attribute.setAddress(8, this.#positions[1].address);
    this.#attribute.setAddress(16, this.keys.address);
    this.#attribute.setAddress(24, this.values.address);
    this.#attribute.words[9] = map.fd;
  }

  next(): number {
    const [position, nextPosition] = this.#positions;
    this.#attribute.setAddress(0, this.#begun ? position.address : 0);
    this.#attribute.words[8] = this.#length;
    const result = this.#attribute.call(Command.mapLookupBatch);
    if (result >= 0) {
      position.bytes.set(nextPosition.bytes);
      this.#begun = true;
    }
    return result;
  }

  count(): number {
    return this.#attribute.words[8]!;
  }
}
