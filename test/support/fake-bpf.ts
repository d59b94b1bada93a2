// SPDX-License-Identifier: Apache-2.0
import {
  type BpfLoadSettings,
  type BpfMap,
  type BpfObject,
  type BpfProgram,
  valueStride,
} from '../../src/engine/xdp/bpf-object.ts';
import { Globals, Maps } from '../../src/engine/xdp/layout/maps.ts';

const textOf = (key: Uint8Array): string => Buffer.from(key).toString('hex');

interface Shape {
  readonly name: string;
  readonly kind: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
}

/** A map in memory: an array that can be mapped, or a hash. */
class FakeMap implements BpfMap {
  readonly name: string;
  readonly fd = -1;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly #entries = new Map<string, Uint8Array>();
  readonly #memory: ArrayBuffer | undefined;

  constructor({ name, kind, keySize, valueSize, maxEntries }: Shape) {
    this.name = name;
    this.keySize = keySize;
    this.valueSize = valueSize;
    this.maxEntries = maxEntries;
    if (kind === 'array') this.#memory = new ArrayBuffer(maxEntries * valueStride(valueSize));
  }

  lookup(key: Uint8Array, into: Uint8Array): boolean {
    const value = this.#entries.get(textOf(key));
    if (value !== undefined) into.set(value);
    return value !== undefined;
  }

  update(key: Uint8Array, value: Uint8Array): void {
    if (key.length !== this.keySize || value.length !== this.valueSize) {
      throw new Error(`${this.name}: a key of ${key.length} or a value of ${value.length} bytes`);
    }
    this.#entries.set(textOf(key), Uint8Array.from(value));
    if (this.#entries.size > this.maxEntries) throw new Error(`${this.name} is full`);
  }

  delete(key: Uint8Array): boolean {
    return this.#entries.delete(textOf(key));
  }

  memory(): ArrayBuffer {
    if (this.#memory === undefined) throw new Error(`${this.name} cannot be mapped`);
    return this.#memory;
  }

  *keys(): Generator<Uint8Array> {
    for (const key of this.#entries.keys()) yield Uint8Array.from(Buffer.from(key, 'hex'));
  }

  *entries(): Generator<readonly [Uint8Array, Uint8Array]> {
    for (const [key, value] of this.#entries) yield [Uint8Array.from(Buffer.from(key, 'hex')), Uint8Array.from(value)];
  }

  lookupBatch(): number {
    throw new Error(`${this.name}: no batches here`);
  }
}

export type FakeRun = (packet: Uint8Array, maps: ReadonlyMap<string, BpfMap>) => void;

/** The maps of the XDP program without the program. `runs`: what its programs do when they are run; they pass. */
export function fakeBpfObject(
  { mapSizes }: BpfLoadSettings,
  runs: Readonly<Record<string, FakeRun>> = {},
): BpfObject & { closed: boolean } {
  const shapes: Shape[] = [
    ...Object.values(Maps),
    ...Object.values(Globals).map(({ map, size }) => ({
      name: map,
      kind: 'array',
      keySize: 4,
      valueSize: size,
      maxEntries: 1,
    })),
  ];
  const maps = new Map(
    shapes.map((shape) => [
      shape.name,
      new FakeMap({ ...shape, maxEntries: mapSizes[shape.name] ?? shape.maxEntries }),
    ]),
  );
  const program = (name: string): BpfProgram => ({
    name,
    fd: -1,
    run: (packet) => {
      runs[name]?.(packet, maps);
      return { verdict: 2, length: packet.length };
    },
  });
  const names = ['baton', 'sweep', 'export_records', 'import_records'];
  return {
    maps,
    programs: new Map(names.map((name) => [name, program(name)])),
    descriptors: () => [],
    closed: false,
    close() {
      this.closed = true;
    },
  };
}
