// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiagnosticCollector } from '../../../src/config/language/diagnostic.ts';
import { keywordTable } from '../../../src/config/language/keyword-table.ts';
import { checkerReaders, identifyCheck } from '../../../src/health/checkers/checkers.ts';

test('the checkers in the list are the blocks that a real_server has, each any number of times', () => {
  const blocks = [...keywordTable.get('real_server')!.keywords].filter(
    ([, { support, shape }]) => support === 'supported' && shape === 'keywords',
  );
  assert.deepEqual(
    Object.keys(checkerReaders([], new DiagnosticCollector())).toSorted(),
    blocks.map(([name]) => name).toSorted(),
  );
  assert.deepEqual(
    blocks.filter(([, { isRepeatable }]) => !isRepeatable),
    [],
  );
});

test('a check is identified by its checker and what that checks; without a checker there is none', () => {
  const timing = { timeoutMs: 1, retry: 1, delayBeforeRetryMs: 1, delayLoopMs: 1 };
  const parameters = { address: '2001:db8::1', port: 80 };
  assert.equal(identifyCheck({ ...timing, checker: 'TCP_CHECK', parameters }), 'TCP_CHECK [2001:db8::1]:80');
  assert.throws(() => identifyCheck({ ...timing, checker: 'NONE', parameters }), {
    message: 'there is no checker NONE',
  });
});
