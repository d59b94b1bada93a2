// SPDX-License-Identifier: Apache-2.0
import { textAt } from './elf.ts';

// The BPF Type Format: Documentation/bpf/btf.rst, linux/btf.h.

export interface BtfMember {
  /** Empty for an anonymous struct or union. */
  readonly name: string;
  readonly typeId: number;
  readonly bitOffset: number;
  /** 0: no bit-field. */
  readonly bitSize: number;
}

export interface BtfType {
  readonly kind: BtfKind;
  /** Empty when anonymous. */
  readonly name: string;
  /** Bytes, for the kinds that have a size. */
  readonly size: number;
  /** The type that a pointer, typedef, qualifier, variable or tag refers to; for an array its element. 0 is void. */
  readonly typeId: number;
  /** Number of elements, for an array. */
  readonly count: number;
  /** Only for a struct or union. */
  readonly members: readonly BtfMember[];
  /** Only for an enum. */
  readonly enumerators: readonly { readonly name: string; readonly value: bigint }[];
  /** For a section: its variables' types. Their offsets come from the symbol table, as in libbpf. */
  readonly variables: readonly number[];
  /** For a declaration tag: the index of the tagged member, -1 for the declaration itself. */
  readonly component: number;
}

/** By BTF_KIND_*, from 0 on. */
const btfKinds = [
  'void',
  'int',
  'pointer',
  'array',
  'struct',
  'union',
  'enum',
  'forward',
  'typedef',
  'volatile',
  'const',
  'restrict',
  'function',
  'prototype',
  'variable',
  'section',
  'float',
  'declarationTag',
  'typeTag',
  'enum64',
] as const;
export type BtfKind = (typeof btfKinds)[number];

const magic = 0xeb9f;
const typeHeaderLength = 12;

const empty = {
  size: 0,
  typeId: 0,
  count: 0,
  members: [],
  enumerators: [],
  variables: [],
  component: -1,
} as const;

/** The types of a .BTF section by their ids; 0 is void. Throws one sentence when it cannot be read. */
export function parseBtf(bytes: Uint8Array): BtfType[] {
  try {
    return readTypes(bytes);
  } catch (error) {
    if (error instanceof RangeError) throw new Error('the type section (.BTF) of the BPF object is cut off');
    throw error;
  }
}

/** Follows typedefs and qualifiers to the type itself. */
export function resolveType(types: readonly BtfType[], typeId: number): BtfType {
  let type = types[typeId];
  while (type !== undefined && /^(typedef|volatile|const|restrict|typeTag)$/.test(type.kind)) type = types[type.typeId];
  if (type === undefined) throw new Error(`the type section of the BPF object has no type ${typeId}`);
  return type;
}

/** Bytes of a value of the type. */
export function sizeOf(types: readonly BtfType[], typeId: number): number {
  const type = resolveType(types, typeId);
  if (type.kind === 'pointer') return 8;
  if (type.kind === 'array') return type.count * sizeOf(types, type.typeId);
  return type.size;
}

function readTypes(bytes: Uint8Array): BtfType[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint16(0, true) !== magic) throw new Error('the BPF object has no type section (.BTF); build it with -g');
  const headerLength = view.getUint32(4, true);
  const typesAt = headerLength + view.getUint32(8, true);
  const typesEnd = typesAt + view.getUint32(12, true);
  const stringsAt = headerLength + view.getUint32(16, true);
  const strings = bytes.subarray(stringsAt, stringsAt + view.getUint32(20, true));
  const nameOf = (offset: number): string => textAt(strings, offset);
  const types: BtfType[] = [{ ...empty, kind: 'void', name: '' }];
  for (let at = typesAt; at < typesEnd; ) {
    const word = view.getUint32(at + 4, true);
    const kind = btfKinds[(word >>> 24) & 0x1f];
    if (kind === undefined) throw new Error(`the BPF object has a type of an unknown kind (${(word >>> 24) & 0x1f})`);
    const common = { ...empty, kind, name: nameOf(view.getUint32(at, true)) };
    const [type, length] = readType(view, at, common, word, nameOf);
    types.push(type);
    at += length;
  }
  return types;
}

/** The type at `at` and how many bytes it takes. `word`: bits 0..15 count its parts, bit 31 is a flag of the kind. */
function readType(
  view: DataView,
  at: number,
  common: BtfType,
  word: number,
  nameOf: (offset: number) => string,
): [type: BtfType, length: number] {
  const parts = word & 0xffff;
  const flag = word >>> 31 === 1;
  const sizeOrType = view.getUint32(at + 8, true);
  const body = at + typeHeaderLength;
  const list = <Part>(length: number, read: (at: number) => Part): Part[] =>
    Array.from({ length: parts }, (_, i) => read(body + i * length));
  switch (common.kind) {
    case 'int':
      return [{ ...common, size: sizeOrType }, typeHeaderLength + 4];
    case 'array': {
      const array = { ...common, typeId: view.getUint32(body, true), count: view.getUint32(body + 8, true) };
      return [array, typeHeaderLength + 12];
    }
    case 'struct':
    case 'union': {
      const members = list(12, (from) => {
        const place = view.getUint32(from + 8, true);
        return {
          name: nameOf(view.getUint32(from, true)),
          typeId: view.getUint32(from + 4, true),
          bitOffset: flag ? place & 0xff_ffff : place,
          bitSize: flag ? place >>> 24 : 0,
        };
      });
      return [{ ...common, size: sizeOrType, members }, typeHeaderLength + parts * 12];
    }
    case 'enum':
    case 'enum64': {
      const length = common.kind === 'enum' ? 8 : 12;
      const enumerators = list(length, (from) => ({
        name: nameOf(view.getUint32(from, true)),
        value: enumValue(view, from + 4, length === 12, flag),
      }));
      return [{ ...common, size: sizeOrType, enumerators }, typeHeaderLength + parts * length];
    }
    case 'prototype':
      return [{ ...common, typeId: sizeOrType }, typeHeaderLength + parts * 8];
    case 'variable':
      return [{ ...common, typeId: sizeOrType }, typeHeaderLength + 4];
    case 'section': {
      const variables = list(12, (from) => view.getUint32(from, true));
      return [{ ...common, size: sizeOrType, variables }, typeHeaderLength + parts * 12];
    }
    case 'declarationTag':
      return [{ ...common, typeId: sizeOrType, component: view.getInt32(body, true) }, typeHeaderLength + 4];
    case 'float':
      return [{ ...common, size: sizeOrType }, typeHeaderLength];
    case 'forward':
    case 'void':
      return [common, typeHeaderLength];
    default:
      return [{ ...common, typeId: sizeOrType }, typeHeaderLength];
  }
}

function enumValue(view: DataView, at: number, wide: boolean, signed: boolean): bigint {
  // clang 14 does not set the flag of signed enums; baton's values are at most 2^31 - 1, where both are the same.
  const low = signed && !wide ? BigInt(view.getInt32(at, true)) : BigInt(view.getUint32(at, true));
  if (!wide) return low;
  const high = BigInt(view.getUint32(at + 4, true)) << 32n;
  return signed ? BigInt.asIntN(64, high | low) : high | low;
}
