// SPDX-License-Identifier: Apache-2.0
import type { DiagnosticCollector, Span } from './diagnostic.ts';
import { type SourceLine, sliceLine, spanAt } from './source-line.ts';

export interface Word {
  readonly text: string;
  readonly span: Span;
}

/** A part of a line: the words of one statement, or a brace that stands outside double quotes. */
export type Token =
  | { readonly kind: 'words'; readonly words: readonly Word[] }
  | { readonly kind: 'open' | 'close'; readonly span: Span };

const whitespace = ' \t\f\v';
const simpleEscapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  E: '\x1b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/**
 * Splits one line. Braces stand for themselves wherever they are outside double quotes. The words of most keywords
 * know only double quotes and no escapes; those for which `isScript` holds take both quotes, which join with what they
 * touch, and escapes (keepalived lib/parser.c, alloc_strvec and alloc_strvec_quoted_escaped).
 */
export function lexLine(
  source: SourceLine,
  isScript: (keyword: string) => boolean,
  diagnostics: DiagnosticCollector,
): Token[] {
  const tokens: Token[] = [];
  let start = 0;
  while (start < source.text.length) {
    const brace = nextBrace(source.text, start);
    const segment = sliceLine(source, start, brace);
    const words = lexWords(segment, isScript, diagnostics);
    if (words.length > 0) tokens.push({ kind: 'words', words });
    if (brace < source.text.length) {
      tokens.push({ kind: source.text[brace] === '{' ? 'open' : 'close', span: spanAt(source, brace) });
    }
    start = brace + 1;
  }
  return tokens;
}

function nextBrace(text: string, start: number): number {
  let quoted = false;
  for (let i = start; i < text.length; i += 1) {
    const character = text[i];
    if (character === '"') quoted = !quoted;
    else if (!quoted && (character === '{' || character === '}')) return i;
  }
  return text.length;
}

function lexWords(
  source: SourceLine,
  isScript: (keyword: string) => boolean,
  diagnostics: DiagnosticCollector,
): Word[] {
  const keyword = /^[ \t\f\v]*([^ \t\f\v"]*)/.exec(source.text)?.[1] ?? '';
  return isScript(keyword) ? lexScriptWords(source, diagnostics) : lexPlainWords(source, diagnostics);
}

function lexPlainWords(source: SourceLine, diagnostics: DiagnosticCollector): Word[] {
  const { text } = source;
  const words: Word[] = [];
  let i = 0;
  while (i < text.length) {
    if (isSpace(text, i)) {
      i += 1;
      continue;
    }
    const span = spanAt(source, i);
    if (text[i] === '"') {
      const close = text.indexOf('"', i + 1);
      if (close < 0) {
        diagnostics.error(span, 'the quote is never closed');
        break;
      }
      words.push({ text: text.slice(i + 1, close), span });
      i = close + 1;
    } else {
      const start = i;
      while (i < text.length && !isSpace(text, i) && text[i] !== '"') i += 1;
      words.push({ text: text.slice(start, i), span });
    }
  }
  return words;
}

function lexScriptWords(source: SourceLine, diagnostics: DiagnosticCollector): Word[] {
  const { text } = source;
  const words: Word[] = [];
  let i = 0;
  while (i < text.length) {
    if (isSpace(text, i)) {
      i += 1;
      continue;
    }
    const span = spanAt(source, i);
    let word = '';
    let quote = '';
    let quoteAt = i;
    for (; i < text.length && (quote !== '' || !isSpace(text, i)); ) {
      const character = text[i]!;
      if (character === '\\') {
        const escaped = readEscape(text, i + 1);
        word += escaped.text;
        i = escaped.end;
      } else {
        if (character === quote) quote = '';
        else if (quote === '' && (character === '"' || character === "'")) {
          quote = character;
          quoteAt = i;
        } else word += character;
        i += 1;
      }
    }
    if (quote !== '') diagnostics.error(spanAt(source, quoteAt), 'the quote is never closed');
    words.push({ text: word, span });
  }
  return words;
}

/** After a backslash: \a \b \E \f \n \r \t \v, \nnn octal, \xXX, \cC; any other character stands for itself. */
function readEscape(text: string, at: number): { text: string; end: number } {
  const rest = text.slice(at, at + 4);
  const hex = /^x([0-9a-fA-F]{1,2})/.exec(rest);
  if (hex !== null) return { text: String.fromCharCode(Number.parseInt(hex[1]!, 16)), end: at + hex[0].length };
  const octal = /^[0-7]{1,3}/.exec(rest);
  if (octal !== null) {
    return { text: String.fromCharCode(Number.parseInt(octal[0], 8) & 0xff), end: at + octal[0].length };
  }
  if (rest[0] === 'c' && rest.length > 1) {
    return { text: String.fromCharCode(rest.charCodeAt(1) & 0x1f), end: at + 2 };
  }
  const character = rest[0] ?? '';
  return { text: simpleEscapes[character] ?? character, end: at + 1 };
}

function isSpace(text: string, index: number): boolean {
  return whitespace.includes(text[index] ?? '');
}
