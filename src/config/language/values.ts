// SPDX-License-Identifier: Apache-2.0
import { type Family, familyOf, type IpAddress, isLinkLocal, parseIpAddress } from '../../lib/ip-address.ts';
import { quote } from './block-reader.ts';
import type { DiagnosticCollector } from './diagnostic.ts';
import type { Word } from './lexer.ts';
import type { Statement } from './parser.ts';

/** IFNAMSIZ - 1 (linux/if.h). */
const interfaceNameLengthMax = 15;

/** The only word of a statement; reports a missing one and superfluous ones. */
export function onlyArgument(statement: Statement, diagnostics: DiagnosticCollector): Word | undefined {
  const [first, second] = statement.arguments;
  const { text, span } = statement.keyword;
  if (first === undefined) diagnostics.error(span, `${text} needs a value`);
  else if (second !== undefined)
    diagnostics.warning(second.span, `${quote(second.text)} is ignored: ${text} takes one value`);
  return first;
}

/** For keywords that take no words: reports those that follow. */
export function noArguments(statement: Statement, diagnostics: DiagnosticCollector): void {
  const [first] = statement.arguments;
  if (first !== undefined) {
    diagnostics.warning(first.span, `${quote(first.text)} is ignored: ${statement.keyword.text} takes no value`);
  }
}

export interface Range {
  readonly min: number;
  readonly max: number;
}

export const portRange: Range = { min: 1, max: 65_535 };

/** A whole number in decimal. */
export function parseWholeNumber(text: string, range: Range): number | undefined {
  if (!/^\+?\d{1,10}$/.test(text)) return undefined;
  const value = Number(text);
  return value < range.min || value > range.max ? undefined : value;
}

export function readWholeNumber(
  statement: Statement,
  range: Range,
  diagnostics: DiagnosticCollector,
): number | undefined {
  const word = onlyArgument(statement, diagnostics);
  return word === undefined ? undefined : checkWholeNumber(word, statement.keyword.text, range, diagnostics);
}

export function checkWholeNumber(
  word: Word,
  name: string,
  range: Range,
  diagnostics: DiagnosticCollector,
): number | undefined {
  const value = parseWholeNumber(word.text, range);
  if (value === undefined) {
    const wanted = `${name} must be a whole number from ${range.min} to ${range.max}`;
    diagnostics.error(word.span, `${wanted}, not ${quote(word.text)}`);
  }
  return value;
}

/** Seconds with up to six decimals, as milliseconds. `range` is in seconds. */
export function readSeconds(statement: Statement, range: Range, diagnostics: DiagnosticCollector): number | undefined {
  const word = onlyArgument(statement, diagnostics);
  if (word === undefined) return undefined;
  const match = /^(\d{0,10})(?:\.(\d{0,6}))?$/.exec(word.text);
  const seconds = match !== null && /\d/.test(word.text) ? Number(word.text) : Number.NaN;
  if (!(seconds >= range.min && seconds <= range.max)) {
    const wanted = `${statement.keyword.text} must be seconds from ${range.min} to ${range.max}`;
    diagnostics.error(word.span, `${wanted}, not ${quote(word.text)}`);
    return undefined;
  }
  // Whole microseconds: 0.07 × 1000 alone is 70.00000000000001.
  return Math.round(seconds * 1_000_000) / 1000;
}

/** An interface name that the kernel would take. */
export function checkInterfaceName(word: Word, diagnostics: DiagnosticCollector): string | undefined {
  if (word.text.length <= interfaceNameLengthMax && /^[^\s/]+$/.test(word.text) && !/^\.{1,2}$/.test(word.text)) {
    return word.text;
  }
  diagnostics.error(
    word.span,
    `${quote(word.text)} is no interface name: at most ${interfaceNameLengthMax} characters, no blank and no slash`,
  );
  return undefined;
}

/** An address of either family, or of the required one. */
export function checkAddress(
  word: Word,
  diagnostics: DiagnosticCollector,
  wanted?: { readonly family: Family; readonly because: string },
): IpAddress | undefined {
  const address = parseIpAddress(word.text);
  if (address === undefined) diagnostics.error(word.span, `${quote(word.text)} is not an IP address`);
  else if (wanted !== undefined && familyOf(address) !== wanted.family) {
    diagnostics.error(word.span, `${address} is not an ${familyName(wanted.family)} address: ${wanted.because}`);
  } else return address;
  return undefined;
}

/** For addresses of services and servers, for which no interface can be named. */
export function refuseLinkLocal(address: IpAddress, word: Word, diagnostics: DiagnosticCollector): void {
  if (!isLinkLocal(address)) return;
  diagnostics.error(word.span, `${address} is a link-local address, which is one only on its interface: give another`);
}

export function familyName(family: Family): 'IPv4' | 'IPv6' {
  return family === 'ipv6' ? 'IPv6' : 'IPv4';
}

/** A keyword without a word is on; otherwise its word decides (keepalived lib/utils.c, check_true_false). */
export function readSwitch(statement: Statement, diagnostics: DiagnosticCollector): boolean | undefined {
  if (statement.arguments.length === 0) return true;
  const word = onlyArgument(statement, diagnostics);
  if (word === undefined) return undefined;
  if (/^(on|true|yes)$/i.test(word.text)) return true;
  if (/^(off|false|no)$/i.test(word.text)) return false;
  diagnostics.error(word.span, `${statement.keyword.text} must be on or off, not ${quote(word.text)}`);
  return undefined;
}
