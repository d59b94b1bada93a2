// SPDX-License-Identifier: Apache-2.0
import { type DiagnosticCollector, formatPlace, type Span } from './diagnostic.ts';
import { lexLine, type Word } from './lexer.ts';
import { limits } from './limits.ts';
import type { SourceLine } from './source-line.ts';

/** A keyword with its words, and the block that follows it, if any. */
export interface Statement {
  readonly keyword: Word;
  readonly arguments: readonly Word[];
  readonly block: Block | undefined;
}

export interface Block {
  /** The place of the opening brace. */
  readonly span: Span;
  readonly statements: readonly Statement[];
}

interface OpenBlock {
  readonly span: Span;
  readonly statements: OpenStatement[];
}

interface OpenStatement {
  readonly keyword: Word;
  readonly arguments: readonly Word[];
  block: OpenBlock | undefined;
}

/** Builds the tree of statements. A brace belongs to the statement before it, on the same line or an earlier one. */
export function parseStatements(
  lines: readonly SourceLine[],
  isScript: (keyword: string) => boolean,
  diagnostics: DiagnosticCollector,
): readonly Statement[] {
  const root: OpenBlock = { span: { file: '', line: 1, column: 1 }, statements: [] };
  const open: OpenBlock[] = [root];
  // Braces deeper than the limit are counted so that the statements after them are read correctly.
  let tooDeep = 0;
  let wordCount = 0;
  for (const line of lines) {
    for (const token of lexLine(line, isScript, diagnostics)) {
      const current = open.at(-1) ?? root;
      if (token.kind === 'words') {
        const [keyword, ...rest] = token.words;
        wordCount += token.words.length;
        if (keyword === undefined || tooDeep > 0) continue;
        if (wordCount > limits.wordsMax) {
          diagnostics.error(keyword.span, `the configuration has more than ${limits.wordsMax} words`);
          return root.statements;
        }
        current.statements.push({ keyword, arguments: rest, block: undefined });
      } else if (token.kind === 'open') {
        tooDeep += openBlock(open, token.span, tooDeep, diagnostics);
      } else if (tooDeep > 0) {
        tooDeep -= 1;
      } else if (open.length > 1) {
        open.pop();
      } else {
        diagnostics.error(token.span, 'this } closes nothing: a { is missing before it');
      }
    }
  }
  for (const block of open.slice(1)) diagnostics.error(block.span, 'this { is never closed: add a }');
  return root.statements;
}

/** Returns 1 when the block is beyond the limit and only counted. */
function openBlock(open: OpenBlock[], span: Span, tooDeep: number, diagnostics: DiagnosticCollector): 0 | 1 {
  if (tooDeep > 0) return 1;
  if (open.length > limits.blockDepthMax) {
    diagnostics.error(span, `blocks are nested more than ${limits.blockDepthMax} deep`);
    return 1;
  }
  const statement = open.at(-1)?.statements.at(-1);
  const block: OpenBlock = { span, statements: [] };
  if (statement === undefined) diagnostics.error(span, 'this { follows no keyword');
  else if (statement.block !== undefined) {
    diagnostics.error(span, `this { follows no keyword: the block of ${formatPlace(statement.keyword.span)} is closed`);
  } else statement.block = block;
  open.push(block);
  return 0;
}
