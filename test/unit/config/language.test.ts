// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DiagnosticCollector, formatDiagnostic } from '../../../src/config/language/diagnostic.ts';
import { isScriptKeyword } from '../../../src/config/language/keyword-table.ts';
import { type Block, parseStatements, type Statement } from '../../../src/config/language/parser.ts';
import { sourceLine, stripComment } from '../../../src/config/language/source-line.ts';
import { editDistance, nearest } from '../../../src/config/language/spelling.ts';

/** `keyword arguments… { … }`, each word as LINE:COLUMN=text when `places` is set. */
function parse(text: string, places = false): { tree: unknown[]; problems: string[] } {
  const diagnostics = new DiagnosticCollector();
  const lines = text.split('\n').map((line, index) => stripComment(sourceLine('f', index + 1, line)));
  const show = (statement: Statement): unknown[] => {
    const words = [statement.keyword, ...statement.arguments].map(({ text: word, span }) =>
      places ? `${span.line}:${span.column}=${word}` : word,
    );
    return statement.block === undefined ? words : [...words, showBlock(statement.block)];
  };
  const showBlock = (block: Block): unknown => ({ block: block.statements.map(show) });
  const tree = parseStatements(lines, isScriptKeyword, diagnostics).map(show);
  return { tree, problems: diagnostics.sorted(['f']).map(formatDiagnostic) };
}

describe('words', () => {
  const cases: readonly [string, string[]][] = [
    ['weight 1', ['weight', '1']],
    ['router_id "a b"', ['router_id', 'a b']],
    ['router_id ""', ['router_id', '']],
    ['router_id a"b c"d', ['router_id', 'a', 'b c', 'd']],
    ["router_id 'a b'", ['router_id', "'a", "b'"]],
    ['router_id a\\tb', ['router_id', 'a\\tb']],
    ['script "a b"', ['script', 'a b']],
    ['notify \'a "b"\' c', ['notify', 'a "b"', 'c']],
    ['notify_up a"b c"\'d e\'f', ['notify_up', 'ab cd ef']],
    ['notify_up a\\ b', ['notify_up', 'a b']],
    ['script "\\a\\b\\E\\f\\n\\r\\t\\v\\q"', ['script', '\x07\b\x1b\f\n\r\t\vq']],
    ['script \\101\\x41\\cA\\0', ['script', 'AA\x01\0']],
  ];
  for (const [text, expected] of cases) {
    it(text, () => assert.deepEqual(parse(text), { tree: [expected], problems: [] }));
  }
  it('reports a quote that is not closed', () => {
    assert.deepEqual(parse('router_id "a b').problems, ['f:1:11: error: the quote is never closed']);
    assert.deepEqual(parse("script 'a b").problems, ['f:1:8: error: the quote is never closed']);
  });
});

describe('blocks', () => {
  const expected = [
    [
      'a',
      '1',
      {
        block: [
          ['b', '2'],
          ['c', { block: [['d']] }],
        ],
      },
    ],
    ['e'],
  ];
  for (const text of [
    'a 1 {\nb 2\nc {\nd\n}\n}\ne',
    'a 1\n{\nb 2\nc\n{\nd\n}\n}\ne',
    'a 1 { b 2\nc { d } } e',
    'a 1{b 2\nc{d}}e',
    'a 1 # x\n\n# y\n { b 2\nc { d }\n}\ne # z',
  ]) {
    it(JSON.stringify(text), () => assert.deepEqual(parse(text), { tree: expected, problems: [] }));
  }
  it('takes braces in double quotes as text', () => {
    assert.deepEqual(parse('router_id "{ }"').tree, [['router_id', '{ }']]);
  });
  it('knows the place of every word', () => {
    assert.deepEqual(parse('a  "b" {\n\tc d\n}', true).tree, [['1:1=a', '1:4=b', { block: [['2:2=c', '2:4=d']] }]]);
  });
  it('reports braces that do not match and goes on', () => {
    assert.deepEqual(parse('}\na\n}\nb {\nc'), {
      tree: [['a'], ['b', { block: [['c']] }]],
      problems: [
        'f:1:1: error: this } closes nothing: a { is missing before it',
        'f:3:1: error: this } closes nothing: a { is missing before it',
        'f:4:3: error: this { is never closed: add a }',
      ],
    });
    assert.deepEqual(parse('{ a }\nb { c }\n{ d }\ne'), {
      tree: [['b', { block: [['c']] }], ['e']],
      problems: [
        'f:1:1: error: this { follows no keyword',
        'f:3:1: error: this { follows no keyword: the block of f:2 is closed',
      ],
    });
  });
  it('goes 32 blocks deep', () => {
    assert.deepEqual(parse(`${'a {\n'.repeat(32)}${'}\n'.repeat(32)}b`).problems, []);
    const tooDeep = parse(`${'a {\n'.repeat(40)}${'}\n'.repeat(40)}b`);
    assert.deepEqual(tooDeep.problems, ['f:33:3: error: blocks are nested more than 32 deep']);
    assert.deepEqual(tooDeep.tree.at(-1), ['b']);
  });
});

describe('did you mean', () => {
  it('counts swaps as one', () => {
    assert.deepEqual(
      [editDistance('', 'abc'), editDistance('weight', 'wieght'), editDistance('kitten', 'sitting')],
      [3, 1, 3],
    );
  });
  it('finds what is near and nothing else', () => {
    const words = ['priority', 'preempt', 'interface', 'state'];
    assert.deepEqual(
      ['priorty', 'Interface', 'stat', 'preempts', 'xyzzy', 'st', 'iterfcae'].map((word) => nearest(word, words)),
      ['priority', 'interface', 'state', 'preempt', undefined, undefined, 'interface'],
    );
  });
});
