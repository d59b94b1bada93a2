// SPDX-License-Identifier: Apache-2.0
import { type SourceLine, sliceLine, spliceLine } from './source-line.ts';

/** `$NAME=VALUE`. A value that goes on over several lines holds one entry for each. */
export interface Parameter {
  readonly lines: readonly string[];
}

/** The lines that a line becomes once its first reference is replaced. */
export type Replacement =
  | { readonly kind: 'line'; readonly line: SourceLine }
  /** The reference ended the line and its value has several: the first goes in place, the others follow as lines. */
  | { readonly kind: 'lines'; readonly line: SourceLine; readonly following: readonly SourceLine[] }
  | { readonly kind: 'none' };

export interface PredefinedParameters {
  readonly directory: string;
  readonly configId: string;
  readonly environment: (name: string) => string | undefined;
  readonly random: () => number;
}

/** The name and value of a definition; `undefined` when the line is none. No blank may stand before the `=`. */
export function parseDefinition(text: string): { name: string; value: string; goesOn: boolean } | undefined {
  const match = /^\$([A-Za-z_][A-Za-z0-9_]*)=[ \t]*(.*)$/s.exec(text);
  if (match === null) return undefined;
  const [, name = '', value = ''] = match;
  return { name, ...continued(value) };
}

/** A line of a value: a backslash at its end means that the next line belongs to it too. */
export function continued(text: string): { value: string; goesOn: boolean } {
  if (!text.endsWith('\\')) return { value: text, goesOn: false };
  return { value: text.slice(0, -1).trimEnd(), goesOn: true };
}

/**
 * Replaces the first reference from `from` on that is known: `${NAME}` anywhere, `$NAME` when a blank, a comma, a
 * closing parenthesis or the end of the line follows (keepalived lib/parser.c, find_definition). An unknown
 * name stays as it is, because scripts use the same sign.
 */
export function replaceParameter(
  source: SourceLine,
  parameters: ReadonlyMap<string, Parameter>,
  predefined: PredefinedParameters,
): Replacement {
  const reference =
    /\$(?:\{([A-Za-z_][A-Za-z0-9_]*)((?:[ \t]+[A-Za-z0-9_]+)*)\}|([A-Za-z_][A-Za-z0-9_]*)(?=[ \t,)]|$))/g;
  for (const match of source.text.matchAll(reference)) {
    const name = match[1] ?? match[3] ?? '';
    const end = match.index + match[0].length;
    const parameter = parameters.get(name) ?? predefinedValue(name, match[2] ?? '', predefined);
    if (parameter === undefined) continue;
    const [first = '', ...rest] = parameter.lines;
    // A value of several lines is substituted only at the end of a line.
    if (rest.length > 0 && end !== source.text.length) continue;
    const line = spliceLine(source, match.index, end, first);
    if (rest.length === 0) return { kind: 'line', line };
    const empty = sliceLine(source, match.index, end);
    return { kind: 'lines', line, following: rest.map((text) => spliceLine(empty, 0, empty.text.length, text)) };
  }
  return { kind: 'none' };
}

function predefinedValue(name: string, argument: string, predefined: PredefinedParameters): Parameter | undefined {
  if (name === '_PWD') return { lines: [predefined.directory] };
  if (name === '_INSTANCE') return { lines: [predefined.configId] };
  if (name === '_HASH') return { lines: ['#'] };
  if (name === '_BANG') return { lines: ['!'] };
  if (name === '_ENV') return { lines: [predefined.environment(argument.trim()) ?? ''] };
  if (name === '_RANDOM') return { lines: [randomInteger(argument, predefined.random)] };
  return undefined;
}

/** `MIN MAX`, both or only the second may be left out; a MAX below MIN counts as MIN (parser.c, get_random). */
function randomInteger(argument: string, random: () => number): string {
  const [min = 0, max = 32_767] = (argument.match(/\d+/g) ?? []).map((digits) => Math.min(Number(digits), 2 ** 31));
  return String(min + Math.floor(random() * (Math.max(min, max) - min + 1)));
}
