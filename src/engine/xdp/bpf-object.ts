// SPDX-License-Identifier: Apache-2.0

// The kernel's BPF as the XDP engine sees it. Implemented by src/platform/linux/bpf; tests may fake it.

/** A map of a loaded program. Keys and values are bytes in host order, as the generated layouts describe them. */
export interface BpfMap {
  readonly name: string;
  readonly fd: number;
  /** Bytes; 0 for a ring buffer. */
  readonly keySize: number;
  /** Bytes; of a per-CPU map those of all possible CPUs together, each rounded up to 8. */
  readonly valueSize: number;
  /** Entries; of a ring buffer its bytes. */
  readonly maxEntries: number;
  /** Copies the value into `into`, at least `valueSize` bytes. False when there is no such key. */
  lookup(key: Uint8Array, into: Uint8Array): boolean;
  /** Adds or replaces. Throws one sentence when the map is full or refuses. */
  update(key: Uint8Array, value: Uint8Array): void;
  /** False when there is no such key. */
  delete(key: Uint8Array): boolean;
  /**
   * The values of an array with BPF_F_MMAPABLE, one every `valueStride(valueSize)` bytes; the same buffer each time. It
   * stays mapped until the process ends. Throws one sentence for any other map.
   */
  memory(): ArrayBuffer;
  /** A copy of every key, in no order. For small maps: one call a key. What changes meanwhile may be missed. */
  keys(): Iterable<Uint8Array>;
  /** A copy of every key and its value, in no order. For small maps: two calls an entry. */
  entries(): Iterable<readonly [key: Uint8Array, value: Uint8Array]>;
  /**
   * All entries, `batchLengthMax` at most a call: `visit` gets packed keys and packed values, valid only during the call, and
   * how many they are. Returns how many there were. For big hash maps and arrays.
   */
  lookupBatch(visit: (keys: Uint8Array, values: Uint8Array, count: number) => void, batchLengthMax?: number): number;
}

export interface BpfRunOptions {
  /** The interface that the packet comes in by: one with an XDP program. Absent: the loopback interface. */
  readonly ingressInterface?: number;
  /** Gets the packet as the program left it. One that is too short gets what fits. */
  readonly out?: Uint8Array;
}

export interface BpfRun {
  /** The XDP action that the program returned. */
  readonly verdict: number;
  /** Bytes of the packet that the program left. */
  readonly length: number;
}

export interface BpfProgram {
  readonly name: string;
  readonly fd: number;
  /**
   * Runs the program once on a packet of 14 bytes or more, bottom halves off, and returns when it has ended (a few
   * microseconds and the program's own time). Throws one sentence when the kernel refuses.
   */
  run(packet: Uint8Array, options?: BpfRunOptions): BpfRun;
}

/** Something that outlives a process if another one holds its descriptor. */
export interface BpfDescriptor {
  readonly kind: 'map' | 'program';
  /** In full, as in the source: the kernel itself keeps only 15 characters. */
  readonly name: string;
  readonly fd: number;
}

/** A loaded program with its maps. `.rodata`, `.data` and `.bss` are maps of these names. */
export interface BpfObject {
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly programs: ReadonlyMap<string, BpfProgram>;
  /** The descriptors that another process needs to go on with the same object. */
  descriptors(): readonly BpfDescriptor[];
  /** Closes the descriptors. Mapped memory stays until the process ends. */
  close(): void;
}

/** The settings that are fixed before the verifier sees the program. */
export interface BpfLoadSettings {
  /** Values of `const volatile` globals by their C names; those not named keep the value of the source. */
  readonly constants: Readonly<Record<string, number | bigint>>;
  /** Maximum number of entries (of a ring buffer: bytes) by map; those not named keep that of the source. */
  readonly mapSizes: Readonly<Record<string, number>>;
}

/** `native`: in the driver. `generic`: behind it, on packets that the kernel has copied; slower. */
export type XdpMode = 'native' | 'generic';

/** A program on an interface. It stays while a process holds the descriptor, and while the interface exists. */
export interface XdpLink {
  readonly fd: number;
  readonly interfaceIndex: number;
  readonly mode: XdpMode;
  /** Exchanges the program; every packet meets the old or the new one. Throws one sentence when refused. */
  replace(program: { readonly fd: number }): void;
  /** Whether the program is still on an interface: false when the interface has gone. */
  isAttached(): boolean;
  /** Takes the program off the interface, even when others hold the link. */
  detach(): void;
  /** Closes this process's descriptor; the program stays on the interface while another holds one. */
  close(): void;
}

/** Reads what programs write into a BPF ring buffer. One reader at a time. */
export interface BpfRingReader {
  /**
   * Hands over at most `recordsMax` records, oldest first: `length` words of `words` from `offset` on, read-only and valid only
   * during the call. Returns how many.
   */
  read(recordsMax: number, visit: (words: Int32Array, offset: number, length: number) => void): number;
  /** Bytes that have been read since the ring was made, in this process or another. */
  readonly position: number;
  /** Resolves to true when there is something to read, to false after `timeoutMs` or `stop`. One call at a time. */
  wait(timeoutMs: number): Promise<boolean>;
  /** Ends the wait that is going on, and all later ones at once. */
  stop(): void;
  /** After the last wait has ended. The mapping stays until the process ends. */
  close(): void;
}

/** How many bytes apart the values of a mapped array lie (kernel/bpf/arraymap.c: rounded up to 8). */
export function valueStride(valueSize: number): number {
  return (valueSize + 7) & ~7;
}
