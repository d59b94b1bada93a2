// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

// docs/decisions/0007-bundled-threads.md: after tsc alone the drill would measure an engine of yesterday.

const dist = fileURLToPath(new URL('../../..', import.meta.url));
const joined = `${dist}src/processes/threads.cjs`;

test('the threads run one file that loads no module of the sources', () => {
  assert.match(readFileSync(`${dist}src/processes/threads.js`, 'utf8'), /^export \* from '.\/threads\.cjs';$/m);
  const loaded = [...readFileSync(joined, 'utf8').matchAll(/\brequire\("(.*?)"\)/g)].map((match) => match[1]);
  assert.ok(loaded.includes('node:worker_threads'));
  assert.deepEqual(
    loaded.filter((name) => name?.startsWith('.')),
    [],
  );
});

test('the joined file is as new as the modules of the engines and of sync', () => {
  const joinedAtMs = statSync(joined).mtimeMs;
  const newer = ['src/engine', 'src/connection', 'sync'].flatMap((folder) =>
    readdirSync(`${dist}${folder}`, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.js'))
      .map((name) => `${folder}/${name}`)
      .filter((name) => statSync(`${dist}${name}`).mtimeMs > joinedAtMs),
  );
  assert.deepEqual(newer, [], 'run npm run build: tsc alone does not join the modules of the threads');
});
