// SPDX-License-Identifier: Apache-2.0
import { accept, type Result, reject } from '../../lib/result.ts';

/**
 * A line's `~SEQ(…)` or `~LST(…)`: the rest of the line is read once for each row of values (keepalived lib/parser.c,
 * add_seq and add_lst).
 */
export interface LineGenerator {
  readonly names: readonly string[];
  /** Rows are generated one by one: a sequence may be far longer than the limits let be read. */
  readonly rows: Iterable<readonly string[]>;
  /** Index at which the rest of the line begins. */
  readonly end: number;
}

/** Returns `undefined` when the line is no generator. A reason is a sentence. `substitute` replaces parameters. */
export function parseGenerator(
  text: string,
  substitute: (text: string) => string,
): Result<LineGenerator, string> | undefined {
  const head = /^~(SEQx?|LST)[ \t]*\(/.exec(text);
  if (head === null)
    return /^~(SEQ|LST)/.test(text) ? reject(`${text.slice(0, 4)} needs a list in parentheses`) : undefined;
  const [opening, name = ''] = head;
  const close = text.indexOf(')', opening.length);
  if (close < 0) return reject(`~${name} lacks its closing parenthesis`);
  const inside = text.slice(opening.length, close);
  const found = name === 'LST' ? parseList(inside) : parseSequence(inside, name === 'SEQx', substitute);
  if (!found.ok) return found;
  let end = close + 1;
  while (text[end] === ' ' || text[end] === '\t') end += 1;
  return accept({ ...found.value, end });
}

const nameForm = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** `NAME, END`, `NAME, START, END` or `NAME, START, STEP, END`; the numbers may be parameters. */
function parseSequence(
  inside: string,
  hexadecimal: boolean,
  substitute: (text: string) => string,
): Result<Omit<LineGenerator, 'end'>, string> {
  const comma = inside.indexOf(',');
  const name = inside.slice(0, comma < 0 ? undefined : comma).trim();
  if (comma < 0 || !nameForm.test(name)) return reject('~SEQ must be ~SEQ(NAME, START, STEP, END)');
  const numbers = substitute(inside.slice(comma + 1))
    .split(',')
    .map((word) => parseNumber(word.trim()));
  if (numbers.length > 3 || numbers.some((number) => number === undefined)) {
    return reject('~SEQ takes up to three whole numbers: START, STEP, END');
  }
  const { start, step, end } = boundsOf(numbers as number[]);
  if (step === 0 || (start < end && step < 0) || (start > end && step > 0)) {
    return reject(`~SEQ never comes from ${start} to ${end} by ${step}`);
  }
  if (hexadecimal && (start < 0 || end < 0)) return reject('~SEQx has no negative numbers');
  return accept({ names: [name], rows: sequence(start, step, end, hexadecimal ? 16 : 10) });
}

function boundsOf(numbers: readonly number[]): { start: number; step: number; end: number } {
  const [one = 0, two, three] = numbers;
  if (two === undefined) return { start: one < 0 ? -1 : 1, step: one < 1 ? -1 : 1, end: one };
  if (three === undefined) return { start: one, step: one <= two ? 1 : -1, end: two };
  return { start: one, step: two, end: three };
}

function* sequence(start: number, step: number, end: number, radix: number): Iterable<readonly string[]> {
  for (let value = start; step > 0 ? value <= end : value >= end; value += step) yield [value.toString(radix)];
}

/** Decimal, `0x…` or `0…` for octal, as strtol reads them with base 0. */
function parseNumber(text: string): number | undefined {
  const match = /^([+-]?)(?:0[xX]([0-9A-Fa-f]{1,12})|(0[0-7]{0,16})|([1-9]\d{0,14}))$/.exec(text);
  if (match === null) return undefined;
  const [, sign, hexadecimal, octal, decimal] = match;
  const digits = hexadecimal ?? octal ?? decimal ?? '';
  const value = Number.parseInt(digits, hexadecimal !== undefined ? 16 : octal !== undefined ? 8 : 10);
  return sign === '-' ? -value : value;
}

/** `NAME, VALUE …` or `{NAME, …}, {VALUE, …} …`; values that a row leaves out are empty. */
function parseList(inside: string): Result<Omit<LineGenerator, 'end'>, string> {
  const form = '~LST must be ~LST(NAME, VALUE, …) or ~LST({NAME, …}, {VALUE, …}, …)';
  const items = splitOutsideBraces(inside).map((item) => /^(?:\{([^{}]*)\}|([^{} \t]*))$/.exec(item.trim()));
  const [names = [], ...rows] = items.map((item) =>
    (item?.[1] ?? item?.[2] ?? '').split(',').map((word) => word.trim()),
  );
  if (items.includes(null) || rows.length === 0 || !names.every((name) => nameForm.test(name))) return reject(form);
  if (rows.some((row) => row.length > names.length)) return reject('~LST has a row with more values than names');
  return accept({ names, rows: rows.map((row) => names.map((_, index) => row[index] ?? '')) });
}

function splitOutsideBraces(text: string): string[] {
  const items: string[] = [];
  let start = 0;
  let inBraces = false;
  for (let i = 0; i < text.length; i += 1) {
    if (text[i] === '{') inBraces = true;
    else if (text[i] === '}') inBraces = false;
    else if (text[i] === ',' && !inBraces) {
      items.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return [...items, text.slice(start)];
}
