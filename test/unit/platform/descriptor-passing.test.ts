// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  DescriptorChannel,
  DescriptorListener,
  type DescriptorMessage,
  descriptorsMax,
  messageBytesMax,
} from '../../../src/platform/linux/process/descriptor-passing.ts';
import { readSealedText, sealText } from '../../../src/platform/linux/process/sealed-text.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const openFiles = (): number => readdirSync('/proc/self/fd').length;

function received(channel: DescriptorChannel): { text: string; descriptors: readonly number[] } {
  const message = channel.receive();
  assert.ok(typeof message !== 'string', `received ${message as string}`);
  return { text: new TextDecoder().decode((message as DescriptorMessage).bytes), descriptors: message.descriptors };
}

describe('a channel', () => {
  test('carries messages whole and in order, with descriptors of the same files', () => {
    const [left, right] = DescriptorChannel.pair();
    assert.equal(right.receive(), 'nothing');
    const files = ['one', 'two'].map((text) => sealText('test', text));
    assert.ok(left.send(bytes('first'), files));
    assert.ok(left.send(bytes('second')));
    const first = received(right);
    assert.equal(first.text, 'first');
    assert.deepEqual(
      first.descriptors.map((fd) => readSealedText(fd, 10)),
      ['one', 'two'],
    );
    assert.ok(first.descriptors.every((fd) => !files.includes(fd)));
    assert.deepEqual(received(right), { text: 'second', descriptors: [] });
    assert.ok(right.send(bytes('back')));
    assert.equal(received(left).text, 'back');
    for (const fd of [...files, ...first.descriptors]) closeSync(fd);
    left.close();
    right.close();
  });

  test('carries as many descriptors and bytes as it says, and none more', () => {
    const [left, right] = DescriptorChannel.pair();
    const fd = openSync('/dev/null', 'r');
    const many = Array.from({ length: descriptorsMax }, () => fd);
    assert.ok(left.send(new Uint8Array(messageBytesMax).fill(7), many));
    const message = right.receive() as DescriptorMessage;
    assert.deepEqual([message.bytes.length, message.descriptors.length], [messageBytesMax, descriptorsMax]);
    for (const each of message.descriptors) closeSync(each);
    assert.throws(() => left.send(bytes('x'), [...many, fd]), RangeError);
    assert.throws(() => left.send(new Uint8Array(messageBytesMax + 1)), RangeError);
    assert.throws(() => left.send(new Uint8Array()), RangeError);
    closeSync(fd);
    left.close();
    right.close();
  });

  test('what was sent before the end is read, then the end', () => {
    const [left, right] = DescriptorChannel.pair();
    left.send(bytes('last words'));
    left.close();
    assert.equal(received(right).text, 'last words');
    assert.equal(right.receive(), 'closed');
    assert.equal(right.send(bytes('too late')), false);
    right.close();
  });

  test('a reader that reads nothing makes sending fail, not wait', () => {
    const [left, right] = DescriptorChannel.pair();
    let sent = 0;
    while (left.send(new Uint8Array(messageBytesMax).fill(1))) sent += 1;
    assert.ok(sent > 2 && sent < 1000, `${sent} messages`);
    left.close();
    right.close();
  });

  test('a process that may have no more files reads nothing of the message, and leaks nothing', () => {
    const program = `
      const [left, right] = DescriptorChannel.pair();
      const fd = openSync('/dev/null');
      left.send(Uint8Array.of(1), Array.from({ length: 80 }, () => fd));
      const before = readdirSync('/proc/self/fd').length;
      console.log(right.receive(), readdirSync('/proc/self/fd').length - before);`;
    assert.equal(runModule(program, ['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh']), 'cut 0\n');
  });
});

describe('a listener', () => {
  const directory = mkdtempSync(join(tmpdir(), 'baton-test-'));
  const path = join(directory, 'test.sock');
  after(() => rmSync(directory, { recursive: true, force: true }));

  test('is for its user alone, and tells who comes', () => {
    const before = openFiles();
    const listener = DescriptorListener.open(path);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(directory), ['test.sock']);
    assert.equal(listener.accept(), undefined);
    const client = DescriptorChannel.connect(path);
    const server = listener.accept();
    assert.ok(client !== undefined && server !== undefined);
    const own = { processId: process.pid, userId: process.geteuid!() };
    assert.deepEqual([client.peer(), server.peer()], [own, own]);
    client.send(bytes('hello'));
    assert.equal(received(server).text, 'hello');
    client.close();
    server.close();
    listener.close();
    assert.deepEqual([existsSync(path), openFiles()], [false, before]);
  });

  test('nobody at the path is no error', () => {
    assert.equal(DescriptorChannel.connect(path), undefined);
    const listener = DescriptorListener.open(path);
    // The socket that a killed process leaves behind.
    assert.throws(() =>
      runModule(`
      DescriptorListener.open(${JSON.stringify(path)});
      process.kill(process.pid, 'SIGKILL');`),
    );
    assert.ok(existsSync(path));
    assert.equal(DescriptorChannel.connect(path), undefined);
    // The path belongs to the other listener by now.
    listener.close();
    assert.ok(existsSync(path));
    const next = DescriptorListener.open(path);
    assert.ok(DescriptorChannel.connect(path) !== undefined);
    next.close();
  });

  test('another user is turned away', {
    skip: process.getuid?.() === 0 ? false : 'needs root to be another user',
  }, () => {
    // Where file modes would let it in.
    const listener = DescriptorListener.open(path);
    execFileSync('chmod', ['755', directory]);
    execFileSync('chmod', ['666', path]);
    runModule(`
      process.seteuid(65534);
      const channel = DescriptorChannel.connect(${JSON.stringify(path)});
      channel.send(new TextEncoder().encode('{"ask":"fetch"}'));`);
    assert.equal(listener.accept(), undefined);
    listener.close();
  });

  test('a path that does not fit says so', () => {
    const long = join(directory, 'x'.repeat(100));
    assert.throws(
      () => DescriptorListener.open(long),
      /is too long for a socket \(107 bytes at most\); choose a shorter/,
    );
    assert.throws(() => DescriptorChannel.connect(long), /is too long for a socket/);
  });
});

describe('a sealed text', () => {
  test('is read as it was written, by its length, and cannot be changed', () => {
    const text = `${'ä'.repeat(100_000)}.`;
    const fd = sealText('test', text);
    assert.equal(readSealedText(fd, 200_001), text);
    assert.equal(readSealedText(fd, 200_000), undefined);
    assert.throws(() => writeSync(fd, 'x', 0), { code: 'EPERM' });
    assert.equal(fstatSync(fd).size, 200_001);
    closeSync(fd);
  });

  test('any other file is none', () => {
    const fd = openSync('/dev/null', 'r');
    assert.equal(readSealedText(fd, 10), undefined);
    closeSync(fd);
  });
});

/** Runs a program that has the module and `node:fs` at hand in a process of its own. */
function runModule(program: string, prefix: readonly string[] = []): string {
  const module = new URL('../../../src/platform/linux/process/descriptor-passing.js', import.meta.url).href;
  const head = `
    const { openSync, readdirSync } = await import('node:fs');
    const { DescriptorChannel, DescriptorListener } = await import(${JSON.stringify(module)});`;
  const [command = '', ...words] = [...prefix, process.execPath, '--input-type=module', '-e', head + program];
  return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}
