// SPDX-License-Identifier: Apache-2.0
import { type DiagnosticCollector, formatPlace } from './diagnostic.ts';
import { aliases, type BlockName, blocksWith, type Keyword, type KeywordBlock, keywordTable } from './keyword-table.ts';
import type { Word } from './lexer.ts';
import type { Statement } from './parser.ts';
import { nearest } from './spelling.ts';

export type Readers = Readonly<Record<string, (statement: Statement) => void>>;

const everyKeyword: ReadonlySet<string> = new Set(
  [...keywordTable.values()].flatMap(({ keywords }) => [...keywords.keys()]),
);

/**
 * Goes through the statements of a block: supported keywords go to their reader, all others are reported as
 * unsupported or unknown. A keyword given twice is reported, and its last value counts, as in keepalived.
 */
export function readStatements(
  statements: readonly Statement[],
  block: BlockName,
  readers: Readers,
  diagnostics: DiagnosticCollector,
): void {
  const known = keywordTable.get(block)!;
  const seen = new Map<string, Statement>();
  for (const statement of statements) {
    const name = statement.keyword.text;
    const keyword = known.keywords.get(name);
    if (keyword === undefined) {
      reportUnknown(statement, known, diagnostics);
      continue;
    }
    if (keyword.support !== 'supported') {
      reportUnsupported(statement, keyword, diagnostics);
      checkSpelling(statement, keyword, diagnostics);
      continue;
    }
    if (!hasShape(statement, keyword, diagnostics)) continue;
    const meaning = aliases.get(name) ?? name;
    const earlier = seen.get(meaning);
    if (earlier !== undefined && !keyword.isRepeatable) {
      diagnostics.warning(
        statement.keyword.span,
        `${name} is given already at ${formatPlace(earlier.keyword.span)}: the last one counts`,
      );
    }
    seen.set(meaning, statement);
    readers[name]?.(statement);
  }
}

function reportUnsupported(statement: Statement, keyword: Keyword, diagnostics: DiagnosticCollector): void {
  const { text, span } = statement.keyword;
  const more = keyword.consequence === undefined ? '' : `: ${keyword.consequence}`;
  if (keyword.support === 'refused') diagnostics.error(span, `${text} is not supported yet${more}`);
  else diagnostics.warning(span, `${text} is not supported yet; it is ignored${more}`);
}

/** A block that is ignored is reported once, but a keyword in it that keepalived does not know is still an error. */
function checkSpelling(statement: Statement, keyword: Keyword, diagnostics: DiagnosticCollector): void {
  if (!hasShape(statement, keyword, diagnostics) || keyword.block === undefined) return;
  const inner = keywordTable.get(keyword.block)!;
  for (const child of statement.block?.statements ?? []) {
    const childKeyword = inner.keywords.get(child.keyword.text);
    if (childKeyword === undefined) reportUnknown(child, inner, diagnostics);
    else checkSpelling(child, childKeyword, diagnostics);
  }
}

function hasShape(statement: Statement, keyword: Keyword, diagnostics: DiagnosticCollector): boolean {
  const { text, span } = statement.keyword;
  if (keyword.shape === 'words' && statement.block !== undefined) {
    diagnostics.error(statement.block.span, `${text} takes no block`);
    return false;
  }
  if (keyword.shape !== 'words' && statement.block === undefined) {
    diagnostics.error(span, `${text} needs a block: { … }`);
    return false;
  }
  return true;
}

function reportUnknown(statement: Statement, block: KeywordBlock, diagnostics: DiagnosticCollector): void {
  const { text, span } = statement.keyword;
  const unknown = `unknown keyword ${quote(text)}`;
  if (/^include[rmwba]?$/.test(text)) {
    diagnostics.error(span, `${text} must be the first word of its line`);
    return;
  }
  if (diagnostics.isFull) {
    diagnostics.error(span, unknown);
    return;
  }
  const elsewhere = blocksWith(text);
  if (elsewhere.length > 0) {
    diagnostics.error(span, `${text} does not belong in ${block.title}: it belongs in ${listOf(elsewhere)}`);
    return;
  }
  const here = nearest(text, block.keywords.keys());
  if (here !== undefined) {
    diagnostics.error(span, `${unknown}: did you mean ${here}?`);
    return;
  }
  const anywhere = nearest(text, everyKeyword);
  if (anywhere === undefined) diagnostics.error(span, `${unknown} in ${block.title}`);
  else
    diagnostics.error(span, `${unknown}: did you mean ${anywhere}, which belongs in ${listOf(blocksWith(anywhere))}?`);
}

/** Reports a word that is no option of its statement. A misspelt one of `others` is recognised, but none is listed. */
export function reportOption(
  statement: string,
  word: Word,
  options: readonly string[],
  diagnostics: DiagnosticCollector,
  others: readonly string[] = [],
): void {
  const meant = nearest(word.text, [...options, ...others]);
  const hint = meant === undefined ? `: it takes ${options.join(', ')}` : `: did you mean ${meant}?`;
  diagnostics.error(word.span, `unknown ${statement} option ${quote(word.text)}${hint}`);
}

/** Quotes a word of the file: unprintable characters are escaped, and after 60 characters it is cut off. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

function listOf(names: readonly string[]): string {
  if (names.length <= 1) return names.join('');
  if (names.length > 4) return `${names.slice(0, 3).join(', ')} and others`;
  return `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}
