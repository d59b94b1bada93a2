// SPDX-License-Identifier: Apache-2.0
import { type BtfType, parseBtf, resolveType, sizeOf } from './btf.ts';
import { type ElfObject, parseElf, sectionOf } from './elf.ts';

/** The contents of a BPF object file, read without a kernel, so that the loader and the generator can both use it. */
export interface ObjectFile {
  readonly maps: readonly MapDefinition[];
  readonly programs: readonly { readonly name: string; readonly section: string }[];
  /** The `const volatile` globals. */
  readonly constants: readonly Constant[];
  /** Globals that programs write: each section of them is a map of one entry. */
  readonly globals: readonly Global[];
  /** The initial content of .rodata; undefined when there is none. */
  readonly readOnly: Uint8Array | undefined;
  readonly types: readonly BtfType[];
}

export interface MapDefinition {
  readonly name: string;
  readonly kind: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** BPF_F_* */
  readonly flags: number;
  /** 0 where the source gives a size and no type. */
  readonly keyTypeId: number;
  readonly valueTypeId: number;
}

export interface Constant {
  readonly name: string;
  /** Offset in .rodata. */
  readonly offset: number;
  readonly size: number;
}

export interface Global extends Constant {
  /** The map that it lies in, as in `.bss` or `.data.settings`. */
  readonly section: string;
  readonly typeId: number;
}

/** enum bpf_map_type; those in use here have names. */
export const mapKinds: Readonly<Record<number, string>> = {
  1: 'hash',
  2: 'array',
  3: 'programArray',
  5: 'perCpuHash',
  6: 'perCpuArray',
  9: 'lruHash',
  10: 'lruPerCpuHash',
  11: 'longestPrefix',
  12: 'arrayOfMaps',
  13: 'hashOfMaps',
  14: 'deviceMap',
  16: 'cpuMap',
  17: 'socketMap',
  25: 'deviceHash',
  27: 'ringBuffer',
};

/** Throws one sentence when it is no BPF object with types. */
export function parseObjectFile(bytes: Uint8Array): ObjectFile {
  const elf = parseElf(bytes);
  const btf = sectionOf(elf, '.BTF');
  if (btf === undefined) throw new Error('the BPF object has no type section (.BTF); build it with -g');
  const types = parseBtf(btf.bytes);
  return {
    maps: variablesOf(types, '.maps').map((variable) => mapDefinition(types, variable)),
    programs: elf.symbols
      // Functions in .text are called by programs, but are not programs.
      .filter(({ kind, section }) => kind === 'function' && section !== '.text')
      .map(({ name, section }) => ({ name, section })),
    constants: constantsOf(elf, types),
    globals: globalsOf(elf, types),
    readOnly: sectionOf(elf, '.rodata')?.bytes,
    types,
  };
}

function mapDefinition(types: readonly BtfType[], variable: BtfType): MapDefinition {
  const definition = resolveType(types, variable.typeId);
  const member = (name: string): BtfType | undefined => {
    const found = definition.members.find((candidate) => candidate.name === name);
    return found === undefined ? undefined : resolveType(types, found.typeId);
  };
  // libbpf's __uint(name, number) is a pointer to an array of `number` elements, __type(name, type) a pointer to one.
  const number = (name: string): number => {
    const pointer = member(name);
    return pointer === undefined ? 0 : resolveType(types, pointer.typeId).count;
  };
  const kind = number('type');
  const keyTypeId = member('key')?.typeId ?? 0;
  const valueTypeId = member('value')?.typeId ?? 0;
  return {
    name: variable.name,
    kind: mapKinds[kind] ?? String(kind),
    keySize: keyTypeId === 0 ? number('key_size') : sizeOf(types, keyTypeId),
    valueSize: valueTypeId === 0 ? number('value_size') : sizeOf(types, valueTypeId),
    maxEntries: number('max_entries'),
    flags: number('map_flags'),
    keyTypeId,
    valueTypeId,
  };
}

function constantsOf(elf: ElfObject, types: readonly BtfType[]): Constant[] {
  return variablesOf(types, '.rodata').flatMap((variable) => {
    // Texts and tables are in .rodata too, but are no settings.
    if (!/^(int|enum)/.test(resolveType(types, variable.typeId).kind)) return [];
    const offset = placeOf(elf, variable.name, '.rodata');
    return offset === undefined ? [] : [{ name: variable.name, offset, size: sizeOf(types, variable.typeId) }];
  });
}

function globalsOf(elf: ElfObject, types: readonly BtfType[]): Global[] {
  const sections = elf.sections.map(({ name }) => name).filter((name) => /^\.(data|bss)(\.|$)/.test(name));
  return sections.flatMap((section) =>
    variablesOf(types, section).flatMap(({ name, typeId }) => {
      const offset = placeOf(elf, name, section);
      return offset === undefined ? [] : [{ name, section, offset, size: sizeOf(types, typeId), typeId }];
    }),
  );
}

/** Offset in its section. Undefined for a variable of a function: no symbol has its name. */
function placeOf(elf: ElfObject, variable: string, inSection: string): number | undefined {
  return elf.symbols.find(({ name, section }) => name === variable && section === inSection)?.offset;
}

function variablesOf(types: readonly BtfType[], section: string): BtfType[] {
  const found = types.find(({ kind, name }) => kind === 'section' && name === section);
  return (found?.variables ?? []).map((typeId) => types[typeId]!).filter(({ kind }) => kind === 'variable');
}
