// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { leaseSlots, Sign } from '../../../src/model/lease.ts';
import { MAP_SHARED, memoryAt, mmap } from '../../../src/platform/linux/libc.ts';
import { LeaseMemory } from '../../../src/platform/linux/process/lease-memory.ts';

describe('the lease memory', () => {
  test('gives what was granted, until it is revoked', () => {
    const memory = LeaseMemory.create();
    assert.equal(memory.validUntilMs(3), 0);
    memory.grant(3, 12_345_678.25);
    memory.grant(4, Number.POSITIVE_INFINITY);
    assert.equal(memory.validUntilMs(3), 12_345_678.25);
    assert.ok(memory.validUntilMs(4) > 1e12);
    memory.revoke(3);
    assert.equal(memory.validUntilMs(3), 0);
    memory.close();
  });

  test('keeps nanoseconds, and never gives a whole one more than was granted', () => {
    const memory = LeaseMemory.create();
    for (let i = 0; i < 10_000; i += 1) {
      const untilMs = i * 1717.171717;
      memory.grant(0, untilMs);
      const given = memory.validUntilMs(0);
      assert.ok(given < untilMs + 1e-6 && given > untilMs - 2e-6, `${untilMs} became ${given}`);
    }
    memory.close();
  });

  test('has bounds', () => {
    const memory = LeaseMemory.create();
    for (const slot of [-1, leaseSlots, 0.5]) assert.throws(() => memory.grant(slot, 1), RangeError);
    assert.equal(memory.validUntilMs(leaseSlots), 0);
    assert.equal(memory.validUntilMs(-1), 0);
    memory.close();
  });

  test('is shared with a child that inherits the descriptor', async () => {
    const memory = LeaseMemory.create();
    memory.grant(7, 1000);
    const module = new URL('../../../src/platform/linux/process/lease-memory.js', import.meta.url);
    const program = `
      const { LeaseMemory } = await import(${JSON.stringify(fileURLToPath(module))});
      const memory = LeaseMemory.attach(4);
      memory.grant(8, memory.validUntilMs(7) + 1);
      memory.revoke(7);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'ignore', 'inherit', 'ignore', memory.fd],
    });
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.deepEqual([memory.validUntilMs(7), memory.validUntilMs(8)], [0, 1001]);
    memory.close();
  });

  test('revoking waits for the round of the engine that may have read the lease, and not for ever', () => {
    const memory = LeaseMemory.create();
    const elapsedMs = (task: () => void): number => {
      const fromMs = performance.now();
      task();
      return performance.now() - fromMs;
    };
    assert.ok(elapsedMs(() => memory.revoke(0)) < 5, 'the engine rests');
    memory.beginRound();
    assert.ok(elapsedMs(() => memory.revoke(0)) >= 9, 'the engine was put aside in a round');
    memory.endRound();
    assert.ok(elapsedMs(() => memory.revoke(0)) < 5, 'the round has ended');
    memory.close();
  });

  const { fd: mapFd, reason } = createArray(522, 0x400);
  test('is a BPF array just as well, where it writes down since when a lease is held', { skip: reason }, () => {
    const fd = Number(mapFd);
    const memory = LeaseMemory.attach(fd);
    const map = new BigInt64Array(memoryAt(mmap(0, 522 * 8, MAP_SHARED, fd), 522 * 8));
    const nowMs = Number(process.hrtime.bigint()) / 1e6;
    memory.grant(3, nowMs + 1e6);
    assert.equal(memory.validUntilMs(3), Number(map[3]) / 1e6);
    const since = map[257 + 3]!;
    assert.ok(Number(since) / 1e6 >= nowMs && Number(since) / 1e6 < nowMs + 1000);
    // A process that attaches to it later finds the lease as it is, and renews it.
    const again = LeaseMemory.attach(fd);
    again.grant(3, nowMs + 2e6);
    assert.deepEqual([Math.round(memory.validUntilMs(3) - nowMs), map[257 + 3]], [2e6, since]);
    again.revoke(3);
    again.grant(3, nowMs + 1e6);
    assert.ok(map[257 + 3]! > since, 'held anew');
    const fromMs = performance.now();
    memory.revoke(3);
    assert.ok(performance.now() - fromMs < 5, 'no round is waited for');
    assert.deepEqual([map[3], memory.validUntilMs(3)], [0n, 0]);
    memory.close();
  });

  for (const [name, entries, flags] of [
    ['too short', 256, 0x400],
    ['not to be mapped', 522, 0],
  ] as const) {
    test(`a BPF array that is ${name} is none`, { skip: reason }, () => {
      const { fd = -1 } = createArray(entries, flags);
      assert.throws(() => LeaseMemory.attach(fd), {
        message: new RegExp(`^descriptor ${fd} is not the lease memory;`),
      });
      closeSync(fd);
    });
  }

  test('has signs of life of the parts, and the numbers of the last batches taken and released', () => {
    const memory = LeaseMemory.create();
    const other = LeaseMemory.attach(memory.fd);
    assert.deepEqual([other.signedUntilMs(Sign.sync), other.publisherUntilMs(), other.takenBatch()], [0, 0, 0]);
    memory.sign(Sign.sync, 1_234.5);
    memory.sign(Sign.publisher, 4_400_000_000.25);
    memory.takeBatch(-7);
    memory.releaseBatch(-8);
    assert.equal(other.signedUntilMs(Sign.sync), 1_234.5);
    assert.equal(other.publisherUntilMs(), 4_400_000_000.25);
    assert.deepEqual([other.takenBatch(), other.releasedBatch()], [-7, -8]);
    memory.sign(Sign.publisher, Number.POSITIVE_INFINITY);
    assert.equal(other.publisherUntilMs(), Number.POSITIVE_INFINITY);
    assert.equal(other.signedUntilMs(Sign.publisher), Number.POSITIVE_INFINITY);
    memory.close();
  });

  test('is told from any other descriptor', () => {
    const fd = openSync('/dev/null', 'r');
    assert.throws(() => LeaseMemory.attach(fd), {
      message: `descriptor ${fd} is not the lease memory; the director passes it when it starts the process`,
    });
    closeSync(fd);
  });
});

/** A BPF array of u64: its descriptor, or why there is none. */
function createArray(entries: number, flags: number): { fd?: number; reason: string | false } {
  const number = process.arch === 'arm64' ? 280 : 321;
  const call = koffi.load('libc.so.6').func('long syscall(long number, long command, void *attributes, size_t length)');
  // BPF_MAP_CREATE: type (array), key size, value size, entries, flags.
  const attributes = Buffer.from(Uint32Array.of(2, 4, 8, entries, flags).buffer);
  const fd = call(number, 0, attributes, attributes.length) as number;
  return fd >= 0 ? { fd, reason: false } : { reason: 'needs CAP_BPF to make a BPF map' };
}
