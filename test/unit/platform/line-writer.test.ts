// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { LineWriter } from '../../../src/platform/linux/process/line-writer.ts';

const queueBytesMax = 10_000;
const noticeOf = (count: number): string => `gap of ${count}\n`;
const settings = { queueBytesMax, noticeOf };

/** The text in a pipe or socket, read without waiting. */
function readAll(fd: number): string {
  const bytes = new Uint8Array(1 << 20);
  let text = '';
  for (;;) {
    try {
      const length = readSync(fd, bytes);
      if (length === 0) return text;
      text += new TextDecoder().decode(bytes.subarray(0, length));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      return text;
    }
  }
}

/** Lines 0, 1, 2 …; a gap counts as the lines that it stands for. Gives how many lines that makes, and the gaps. */
function verify(text: string): { readonly next: number; readonly gaps: readonly number[] } {
  assert.ok(text.endsWith('\n'), 'the last line is whole');
  const gaps: number[] = [];
  let next = 0;
  for (const line of text.trimEnd().split('\n')) {
    const gap = /^gap of (\d+)$/.exec(line);
    if (gap === null) assert.equal(line, lineOf(next).trimEnd());
    else gaps.push(Number(gap[1]));
    next += gap === null ? 1 : Number(gap[1]);
  }
  return { next, gaps };
}

const lineOf = (number: number): string => `${number} ${'x'.repeat(90)}\n`;

describe('a line writer', () => {
  const directory = mkdtempSync(join(tmpdir(), 'baton-test-'));
  after(() => rmSync(directory, { recursive: true }));
  let reader: number;
  let end: number;
  let count = 0;
  let written: number;
  let writer: LineWriter;

  beforeEach(() => {
    count += 1;
    const path = join(directory, String(count));
    execFileSync('mkfifo', [path]);
    reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    // Opened as a shell opens it: a writer blocks when it is full.
    end = openSync(path, constants.O_WRONLY);
    written = 0;
    writer = new LineWriter(end, settings);
  });
  afterEach(() => {
    for (const fd of [reader, end]) {
      try {
        closeSync(fd);
      } catch {
        // The test has closed it.
      }
    }
  });

  const writeLines = (lines: number): void => {
    for (let i = 0; i < lines; i += 1) {
      writer.write(lineOf(written));
      written += 1;
    }
  };

  test('passes lines on at once', () => {
    writeLines(3);
    assert.equal(readAll(reader), lineOf(0) + lineOf(1) + lineOf(2));
  });

  test('does not wait for a reader that has stopped, and tells it of the gap when it goes on', async () => {
    const fromMs = performance.now();
    writeLines(5000);
    assert.ok(performance.now() - fromMs < 1000);
    let text = readAll(reader);
    await writer.drain(1000);
    text += readAll(reader);
    assert.deepEqual(text.match(/gap/g), ['gap']);
    writeLines(10);
    text += readAll(reader);
    const { next, gaps } = verify(text);
    assert.equal(next, written);
    // Of 64 KiB in the pipe and 10 000 bytes in the queue.
    assert.ok(gaps.length === 1 && gaps[0]! > 4000, String(gaps));
  });

  test('wakes up by itself when its reader goes on', async () => {
    writeLines(1500);
    let text = readAll(reader);
    for (const untilMs = performance.now() + 2000; !text.includes('gap') && performance.now() < untilMs; ) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      text += readAll(reader);
    }
    assert.equal(verify(text).next, written);
  });

  test('a reader that takes a little now and then gets whole lines and true counts', async () => {
    let text = '';
    const bytes = new Uint8Array(5000);
    for (let round = 0; round < 100; round += 1) {
      writeLines(100);
      text += new TextDecoder().decode(bytes.subarray(0, readSync(reader, bytes)));
    }
    for (let round = 0; round < 3; round += 1) {
      text += readAll(reader);
      await writer.drain(100);
    }
    text += readAll(reader);
    const { next, gaps } = verify(text);
    assert.equal(next, written);
    assert.ok(gaps.length > 1 && gaps.length < 100, `${gaps.length} gaps`);
  });

  test('waits for a reader at the end, but not for ever', async () => {
    writeLines(1000);
    const fromMs = performance.now();
    await writer.drain(200);
    const waitedMs = performance.now() - fromMs;
    assert.ok(waitedMs >= 199 && waitedMs < 1000, `${waitedMs} ms`);
    setTimeout(() => readAll(reader), 50);
    const againMs = performance.now();
    await writer.drain(5000);
    assert.ok(performance.now() - againMs < 2000);
    const doneMs = performance.now();
    await writer.drain(5000);
    assert.ok(performance.now() - doneMs < 10);
  });

  test('counts what was written for a reader that had gone', () => {
    closeSync(reader);
    writeLines(5);
    reader = openSync(join(directory, String(count)), constants.O_RDONLY | constants.O_NONBLOCK);
    writeLines(1);
    assert.deepEqual(verify(`gap of 0\n${readAll(reader)}`), { next: 6, gaps: [0, 5] });
  });

  test('a line longer than a pipe takes at once arrives whole', async () => {
    const long = `${'y'.repeat(9_990)}\n`;
    writer = new LineWriter(end, { noticeOf });
    for (let i = 0; i < 20; i += 1) writer.write(long);
    let text = readAll(reader);
    assert.ok(text.length < 20 * long.length, 'only a part of it fits at first');
    for (let round = 0; round < 5; round += 1) {
      await writer.drain(20);
      text += readAll(reader);
    }
    assert.ok(text === long.repeat(20));
  });

  test('does not wait on a socket, which cannot be opened again', async () => {
    const module = new URL('../../../src/platform/linux/process/line-writer.js', import.meta.url).href;
    const program = `
      const { LineWriter } = await import(${JSON.stringify(module)});
      const writer = new LineWriter(1, { queueBytesMax: 1000, noticeOf: (count) => 'gap of ' + count + '\\n' });
      for (let i = 0; i < 20_000; i += 1) writer.write('x'.repeat(90) + '\\n');
      await writer.drain(100);`;
    // The pipe that Node gives a child is a socket, which nobody reads here.
    const words = ['--input-type=module', '-e', program];
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'], timeout: 10_000 });
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    child.stdout.destroy();
  });

  test('writes a file in order', async () => {
    const path = join(directory, 'log');
    const fd = openSync(path, 'a');
    writer = new LineWriter(fd, settings);
    writeLines(50);
    await writer.drain(5000);
    assert.deepEqual(verify(readFileSync(path, 'utf8')), { next: 50, gaps: [] });
    writeLines(200);
    await writer.drain(5000);
    assert.equal(verify(readFileSync(path, 'utf8')).next, 250);
    closeSync(fd);
  });

  test('a full disk costs lines and nothing else', async () => {
    const fd = openSync('/dev/full', 'w');
    writer = new LineWriter(fd, settings);
    writeLines(5);
    await writer.drain(1000);
    closeSync(fd);
  });
});
