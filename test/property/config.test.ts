// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { diagnosticsMax } from '../../src/config/language/diagnostic.ts';
import { expandGlob } from '../../src/config/language/glob.ts';
import { keywordTable } from '../../src/config/language/keyword-table.ts';
import { editDistance } from '../../src/config/language/spelling.ts';
import { load } from '../unit/config/in-memory.ts';

const keywords = [...keywordTable.values()].flatMap(({ keywords: known }) => [...known.keys()]);
/** Words that the language, or one of its keywords, treats in a way of its own. */
const special = [
  '{',
  '}',
  '"',
  "'",
  '\\',
  '#',
  '!',
  '\n',
  '\n@alpha ',
  '\n@^alpha ',
  '\n$A=',
  '$A',
  '$' + '{A}',
  '$A=$A $A \\',
  '~SEQ(',
  '\n~SEQ(A,3) $A',
  '\n~SEQ(A, 9, -2, 1) ~LST(B, x) ',
  '\n~LST({A,B},{1,2},3)',
  '\n$A=~SEQ(A,2)',
  '$' + '{_RANDOM 1 9}',
  '\ninclude pair.conf',
  '\ninclude *.conf',
  '\n{',
  '0',
  '1',
  '-1',
  '0.1',
  '255',
  '99999999999',
  'MASTER',
  'NAT',
  'DR',
  'TCP',
  'rr',
  'eth0',
  'dev',
  'brd',
  '+',
  'id',
  '192.0.2.1',
  '192.0.2.1/24',
  '2001:db8::1',
  'a',
  '__proto__',
  'constructor',
];
const soup = fc.array(fc.oneof(fc.constantFrom(...keywords), fc.constantFrom(...special)), { maxLength: 120 });

/** Holds for every input: problems are bounded, each has a place that exists, and a configuration means no error. */
function holds(content: string | Uint8Array): void {
  const { configuration, diagnostics, unreadable } = load(content);
  const text = typeof content === 'string' ? content : new TextDecoder().decode(content);
  const lines = text.split('\n');
  assert.equal(unreadable, undefined);
  assert.ok(diagnostics.length <= diagnosticsMax + 1);
  for (const { file, line, column, text: said } of diagnostics) {
    assert.equal(file, 'pair.conf');
    assert.ok(Number.isInteger(line) && line >= 1 && line <= lines.length, said);
    assert.ok(Number.isInteger(column) && column >= 1 && column <= (lines[line - 1] ?? '').length + 1, said);
    assert.ok(said.length > 0 && !/[\n\0]/.test(said));
  }
  assert.equal(
    configuration === undefined,
    diagnostics.some(({ severity }) => severity === 'error'),
  );
}

describe('a configuration of anything', () => {
  it('bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => holds(bytes)),
      { numRuns: 500 },
    );
  });
  it('text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => holds(new TextEncoder().encode(text))),
      { numRuns: 500 },
    );
  });
  it('words of the language in any order', () => {
    fc.assert(
      fc.property(soup, (words) => holds(words.join(' '))),
      { numRuns: 1000 },
    );
  });
  it('a good file with a piece cut out', () => {
    const good =
      'global_defs {\n lvs_sync_daemon eth0 A id 3\n}\nvrrp_instance A {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress { 192.0.2.1/24 brd + }\n}\nvirtual_server 192.0.2.1 80 {\n protocol TCP\n lb_algo mh\n lb_kind DR\n real_server 10.0.0.1 80 {\n TCP_CHECK {\n retry 3\n }\n }\n}\n';
    assert.deepEqual(load(good).diagnostics, []);
    fc.assert(
      fc.property(fc.nat(good.length), fc.nat(40), (start, length) =>
        holds(good.slice(0, start) + good.slice(start + length)),
      ),
      { numRuns: 500 },
    );
  });
});

describe('patterns of include', () => {
  it('any pattern ends, whatever the names', () => {
    const pattern = fc.string({
      unit: fc.constantFrom('*', '?', '[', ']', '{', '}', ',', '-', '^', '/', '.', 'a', 'b'),
      maxLength: 60,
    });
    const names = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 40 }), { maxLength: 5 });
    fc.assert(
      fc.property(pattern, names, (text, list) => {
        assert.ok(expandGlob(text, () => list).length <= 256 * 513);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the edit distance', () => {
  it('is a distance', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 8 });
    fc.assert(
      fc.property(word, word, (a, b) => {
        const distance = editDistance(a, b);
        assert.equal(distance, editDistance(b, a));
        assert.equal(distance === 0, a === b);
        assert.ok(distance >= Math.abs(a.length - b.length) && distance <= Math.max(a.length, b.length));
      }),
    );
  });
});
