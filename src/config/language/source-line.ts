// SPDX-License-Identifier: Apache-2.0
import type { Span } from './diagnostic.ts';

/**
 * One line of a configuration, shortened and substituted step by step. `columns[i]` is the column in the file that
 * character `i` came from; all of a substituted parameter's text comes from its `$`.
 */
export interface SourceLine {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly columns: readonly number[];
}

export function sourceLine(file: string, line: number, text: string): SourceLine {
  return { file, line, text, columns: Array.from({ length: text.length }, (_, i) => i + 1) };
}

/** The place of character `index`; past the end it is the place after the last character. */
export function spanAt(source: SourceLine, index: number): Span {
  const column = source.columns[index] ?? (source.columns.at(-1) ?? 0) + 1;
  return { file: source.file, line: source.line, column };
}

export function sliceLine(source: SourceLine, start: number, end = source.text.length): SourceLine {
  return { ...source, text: source.text.slice(start, end), columns: source.columns.slice(start, end) };
}

/** `head`, then `inserted` standing at the column of the character it replaces, then `tail`. */
export function spliceLine(source: SourceLine, start: number, end: number, inserted: string): SourceLine {
  const at = source.columns[start] ?? 1;
  return {
    ...source,
    text: source.text.slice(0, start) + inserted + source.text.slice(end),
    columns: [
      ...source.columns.slice(0, start),
      ...new Array<number>(inserted.length).fill(at),
      ...source.columns.slice(end),
    ],
  };
}

/**
 * Removes comments (`#` or `!` to the end of the line, outside double quotes), surrounding blanks and the backslash of
 * `\#` and `\!` (keepalived lib/parser.c, decomment).
 */
export function stripComment(source: SourceLine): SourceLine {
  const { text } = source;
  const kept: number[] = [];
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const character = text[i];
    if (character === '\\' && i + 1 < text.length) {
      const next = text[i + 1];
      if (quoted || (next !== '#' && next !== '!')) kept.push(i);
      i += 1;
      kept.push(i);
      continue;
    }
    if (character === '"') quoted = !quoted;
    if (!quoted && (character === '#' || character === '!')) break;
    kept.push(i);
  }
  let start = 0;
  let end = kept.length;
  const blank = (position: number): boolean => isBlank(text[kept[position] ?? 0] ?? '');
  while (start < end && blank(start)) start += 1;
  while (end > start && blank(end - 1)) end -= 1;
  const chosen = kept.slice(start, end);
  return {
    ...source,
    text: chosen.map((i) => text[i]).join(''),
    columns: chosen.map((i) => source.columns[i] ?? 1),
  };
}

export function isBlank(character: string): boolean {
  return character === ' ' || character === '\t';
}
