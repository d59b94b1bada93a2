// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

const module = new URL('../../../src/processes/output.js', import.meta.url).href;

describe('the output of a director whose reader has stopped', () => {
  const directory = mkdtempSync(join(tmpdir(), 'baton-test-'));
  const path = join(directory, 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const end = openSync(path, constants.O_WRONLY);
  after(() => {
    closeSync(reader);
    closeSync(end);
    rmSync(directory, { recursive: true });
  });

  const readAll = (): string => {
    const bytes = new Uint8Array(1 << 21);
    try {
      return new TextDecoder().decode(bytes.subarray(0, readSync(reader, bytes)));
    } catch {
      return '';
    }
  };

  const run = (program: string) => {
    const head = `const { openOutput } = await import(${JSON.stringify(module)}); const output = openOutput();`;
    const words = ['--input-type=module', '-e', head + program];
    return spawn(process.execPath, words, {
      stdio: ['ignore', end, 'inherit'],
      timeout: 10_000,
      killSignal: 'SIGKILL',
    });
  };

  test('says in the log how many lines are not there', async () => {
    const child = run(`
      for (let i = 0; i < 20_000; i += 1) output.log('info', 'x'.repeat(100), { i });
      await output.close();`);
    let text = '';
    const poll = setInterval(() => {
      text += readAll();
    }, 5);
    const [code] = await once(child, 'exit');
    clearInterval(poll);
    text += readAll();
    assert.equal(code, 0);
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: number; msg: string; dropped?: number });
    const notices = lines.filter(({ dropped }) => dropped !== undefined);
    const dropped = notices.reduce((sum, notice) => sum + notice.dropped!, 0);
    assert.ok(notices.length > 0);
    assert.equal(lines.length - notices.length + dropped, 20_000);
    const [{ level, msg, dropped: count }] = notices as [(typeof notices)[0]];
    assert.deepEqual([level, msg], [40, `${count} lines of this log dropped here: the reader did not take more`]);
  });
});
