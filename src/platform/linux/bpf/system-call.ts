// SPDX-License-Identifier: Apache-2.0
import { readlinkSync } from 'node:fs';
import { pinnedMemory, syscall } from '../libc.ts';

// bpf(2): linux/bpf.h, enum bpf_cmd and union bpf_attr.

export const Command = {
  mapCreate: 0,
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  mapNextKey: 4,
  programLoad: 5,
  programTestRun: 10,
  describe: 15,
  mapLookupBatch: 24,
  linkCreate: 28,
  linkUpdate: 29,
  linkDetach: 34,
} as const;
export type Command = (typeof Command)[keyof typeof Command];

export interface MapFacts {
  /** enum bpf_map_type */
  readonly type: number;
  readonly id: number;
  readonly keySize: number;
  /** Bytes of one CPU's value. */
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** At most 15 characters. */
  readonly name: string;
}

/** A zeroed attribute for one kind of call that is made often: only the fields that change are written again. */
export class Attribute {
  readonly memory = pinnedMemory(attributeLength);
  readonly view = new DataView(this.memory.bytes.buffer);
  readonly words = new Uint32Array(this.memory.bytes.buffer);

  setAddress(offset: number, address: number): void {
    this.view.setBigUint64(offset, BigInt(address), true);
  }

  /** -1 on failure, with `errno()`. */
  call(command: Command): number {
    return syscall(callNumber, command, this.memory.address, attributeLength);
  }
}

/** Longer than any of the commands here needs; the kernel requires the rest to be zero. */
const attributeLength = 128;
/** arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h */
const callNumber = process.arch === 'x64' ? 321 : 280;

/** struct bpf_map_info, bpf_prog_info and bpf_link_info: the kernel fills as much as there is room for. */
const descriptionLength = 256;
/** enum bpf_link_type */
const BPF_LINK_TYPE_XDP = 6;
/** BPF_OBJ_NAME_LEN, which includes the closing zero. */
const nameLength = 16;

/** One call that is not made often. -1 on failure, with `errno()`. */
export function bpf(command: Command, fill: (attribute: Attribute) => void): number {
  const attribute = new Attribute();
  fill(attribute);
  return attribute.call(command);
}

/** Undefined when the descriptor is not a map (or not a descriptor). */
export function describeMap(fd: number): MapFacts | undefined {
  const view = describe(fd, 'bpf-map');
  if (view === undefined) return undefined;
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    keySize: view.getUint32(8, true),
    valueSize: view.getUint32(12, true),
    maxEntries: view.getUint32(16, true),
    flags: view.getUint32(20, true),
    name: nameIn(view, 24),
  };
}

/** Undefined when the descriptor is not a program. */
export function describeProgram(fd: number): { readonly id: number; readonly name: string } | undefined {
  const view = describe(fd, 'bpf-prog');
  return view === undefined ? undefined : { id: view.getUint32(4, true), name: nameIn(view, 64) };
}

/** Undefined when the descriptor is not a link of an XDP program. `interfaceIndex` 0: its interface has gone. */
export function describeXdpLink(
  fd: number,
): { readonly id: number; readonly programId: number; readonly interfaceIndex: number } | undefined {
  const view = describe(fd, 'bpf_link');
  if (view === undefined || view.getUint32(0, true) !== BPF_LINK_TYPE_XDP) return undefined;
  return {
    id: view.getUint32(4, true),
    programId: view.getUint32(8, true),
    interfaceIndex: view.getUint32(16, true),
  };
}

/** The kernel's description does not name its kind, but the name of the descriptor contains it. */
function describe(fd: number, kind: 'bpf-map' | 'bpf-prog' | 'bpf_link'): DataView | undefined {
  if (descriptorName(fd) !== `anon_inode:${kind}`) return undefined;
  const description = pinnedMemory(descriptionLength);
  const result = bpf(Command.describe, (attribute) => {
    attribute.words[0] = fd;
    attribute.words[1] = descriptionLength;
    attribute.setAddress(8, description.address);
  });
  return result < 0 ? undefined : new DataView(description.bytes.buffer);
}

function descriptorName(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

function nameIn(view: DataView, offset: number): string {
  const bytes = new Uint8Array(view.buffer, offset, nameLength);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? nameLength : end));
}
