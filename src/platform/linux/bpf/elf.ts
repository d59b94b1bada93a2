// SPDX-License-Identifier: Apache-2.0

// As much of ELF (System V ABI, chapter 4) as a BPF object has: 64-bit, little-endian, relocatable.

export interface ElfSection {
  readonly name: string;
  /** Empty for a section that takes no place in the file (.bss). */
  readonly bytes: Uint8Array;
  readonly size: number;
}

export interface ElfSymbol {
  readonly name: string;
  /** The name of its section; empty when it is not in a section. */
  readonly section: string;
  /** Offset in the section. */
  readonly offset: number;
  readonly size: number;
  readonly kind: 'function' | 'object' | 'other';
}

export interface ElfObject {
  readonly sections: readonly ElfSection[];
  readonly symbols: readonly ElfSymbol[];
}

const headerLength = 64;
const sectionHeaderLength = 64;
const symbolLength = 24;
const EM_BPF = 247;
const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;
const STT_OBJECT = 1;
const STT_FUNC = 2;

/** Sections are views of `bytes`. Throws one sentence when it is not a BPF object. */
export function parseElf(bytes: Uint8Array): ElfObject {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  // 0x7f "ELF", class 64-bit, little-endian.
  const isElf = bytes.length >= headerLength && view.getUint32(0) === 0x7f454c46 && view.getUint16(4) === 0x0201;
  if (!isElf || view.getUint16(18, true) !== EM_BPF) throw new Error('it is not a BPF object file');
  try {
    return readSections(bytes, view);
  } catch (error) {
    if (error instanceof RangeError) throw new Error('the BPF object file is cut off');
    throw error;
  }
}

export function sectionOf(object: ElfObject, name: string): ElfSection | undefined {
  return object.sections.find((section) => section.name === name);
}

/** The text from `offset` to the next zero byte. */
export function textAt(strings: Uint8Array, offset: number): string {
  const end = strings.indexOf(0, offset);
  if (offset >= strings.length || end < 0) throw new RangeError('a name lies outside of its table');
  return new TextDecoder().decode(strings.subarray(offset, end));
}

function readSections(bytes: Uint8Array, view: DataView): ElfObject {
  const tableAt = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  const headers = Array.from({ length: count }, (_, i) => {
    const at = tableAt + i * sectionHeaderLength;
    const type = view.getUint32(at + 4, true);
    const offset = Number(view.getBigUint64(at + 24, true));
    const size = Number(view.getBigUint64(at + 32, true));
    if (type !== SHT_NOBITS && offset + size > bytes.length) throw new RangeError('a section lies outside of the file');
    const content = bytes.subarray(offset, type === SHT_NOBITS ? offset : offset + size);
    return { nameAt: view.getUint32(at, true), type, size, link: view.getUint32(at + 40, true), bytes: content };
  });
  const names = headers[view.getUint16(62, true)]?.bytes ?? new Uint8Array();
  const sections = headers.map((header) => ({
    name: textAt(names, header.nameAt),
    bytes: header.bytes,
    size: header.size,
  }));
  const symbolTable = headers.find(({ type }) => type === SHT_SYMTAB);
  if (symbolTable === undefined) return { sections, symbols: [] };
  const symbolNames = headers[symbolTable.link]?.bytes ?? new Uint8Array();
  return { sections, symbols: readSymbols(symbolTable.bytes, symbolNames, sections) };
}

function readSymbols(table: Uint8Array, names: Uint8Array, sections: readonly ElfSection[]): ElfSymbol[] {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  return Array.from({ length: Math.floor(table.length / symbolLength) }, (_, i) => {
    const at = i * symbolLength;
    const kind = view.getUint8(at + 4) & 0xf;
    return {
      name: textAt(names, view.getUint32(at, true)),
      section: sections[view.getUint16(at + 6, true)]?.name ?? '',
      offset: Number(view.getBigUint64(at + 8, true)),
      size: Number(view.getBigUint64(at + 16, true)),
      kind: kind === STT_FUNC ? 'function' : kind === STT_OBJECT ? 'object' : 'other',
    };
  });
}
