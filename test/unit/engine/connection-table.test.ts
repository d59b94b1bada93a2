// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ConnectionTable } from '../../../src/engine/portable/connection-table.ts';
import { Destinations } from '../../../src/engine/portable/destinations.ts';
import { absent, EntryFlag, EntryWord, KeyWord, keyWords } from '../../../src/engine/portable/entry-layout.ts';
import { HashIndex } from '../../../src/engine/portable/hash-index.ts';
import type { RunningService } from '../../../src/engine/portable/running-service.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { TcpState } from '../../../src/model/tcp-state.ts';

function tableOf(halfOpenMax: number, establishedMax: number): { table: ConnectionTable; destinations: Destinations } {
  const destinations = new Destinations();
  const service = { name: 'tcp 192.0.2.80:80' } as RunningService;
  const hop = { state: 'resolved', port: undefined, macAddress: new Uint8Array(6) } as const;
  const resolver = { resolve: () => hop, update: () => false };
  for (const method of ['masquerade', 'direct-route'] as const) {
    const realServer = { address: '10.0.0.1' as IpAddress, port: 8080, weight: 1, forwardingMethod: method };
    destinations.acquire(service, realServer, -1, resolver);
  }
  return { table: new ConnectionTable({ halfOpenMax, establishedMax, hashSeed: 7 }, destinations), destinations };
}

function keyOf(client: number, ipv6 = false): Int32Array {
  const key = new Int32Array(keyWords);
  key[KeyWord.clientAddress] = client;
  if (ipv6) key[KeyWord.clientAddress + 3] = client;
  key[KeyWord.virtualAddress] = 0x0a000001;
  key[KeyWord.ports] = ((client & 0xffff) << 16) | 80;
  key[KeyWord.head] = 6 | (ipv6 ? EntryFlag.ipv6 : 0);
  return key;
}

/** The key that a real server's reply carries: the real server stands for the client. */
function answerTo(key: Int32Array, realAddress: number, realPort: number): Int32Array {
  const answer = Int32Array.from(key);
  answer.fill(0, KeyWord.clientAddress, KeyWord.ports);
  answer[KeyWord.clientAddress] = realAddress;
  answer.set(key.subarray(KeyWord.clientAddress, KeyWord.virtualAddress), KeyWord.virtualAddress);
  answer[KeyWord.ports] = (realPort << 16) | (key[KeyWord.ports]! >>> 16);
  return answer;
}

test('an index finds what is in it and nothing else, through collisions and removals', () => {
  const operation = fc.record({ add: fc.boolean(), reference: fc.integer({ min: 1, max: 40 }) });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 200 }), fc.integer({ min: 1, max: 8 }), (operations, spread) => {
      const index = new HashIndex(40);
      const present = new Set<number>();
      // Few different hashes, high bits set too: long runs that wrap round the end.
      const hashOf = (reference: number): number => (reference % spread) * 0x1fff_ffff - 3;
      for (const { add, reference } of operations) {
        if (add && !present.has(reference)) index.insert(hashOf(reference), reference);
        else if (!add) assert.equal(index.remove(hashOf(reference), reference), present.has(reference));
        if (add) present.add(reference);
        else present.delete(reference);
        const found = new Set<number>();
        for (const wanted of present) {
          for (let at = (hashOf(wanted) << 1) & index.mask; index.slots[at] !== 0; at = (at + 2) & index.mask) {
            if (index.slots[at] === wanted) found.add(wanted);
          }
        }
        assert.deepEqual(found, present);
      }
    }),
    { numRuns: 300 },
  );
});

test('a table agrees with a plain map under any sequence of insertions, removals and state changes', () => {
  const operation = fc.record({
    kind: fc.constantFrom('insert', 'remove', 'establish', 'touch', 'state'),
    client: fc.integer({ min: 1, max: 24 }),
    ipv6: fc.boolean(),
    destination: fc.nat(1),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 150 }), (operations) => {
      const { table, destinations } = tableOf(100, 100);
      const model = new Map<string, { entry: number; halfOpen: boolean; destination: number }>();
      let order: string[] = [];
      for (const { kind, client, ipv6, destination } of operations) {
        const name = `${client} ${ipv6}`;
        const key = keyOf(client, ipv6);
        const known = model.get(name);
        if (kind === 'insert' && known === undefined) {
          const entry = table.insert(key, destination, TcpState.synReceived, EntryFlag.halfOpen, 0, 60_000);
          model.set(name, { entry, halfOpen: true, destination });
          order.push(name);
        } else if (known !== undefined && kind === 'remove') {
          table.remove(known.entry);
          model.delete(name);
          order = order.filter((other) => other !== name);
        } else if (known?.halfOpen && kind === 'establish') {
          table.establish(known.entry);
          table.setState(known.entry, TcpState.established);
          known.halfOpen = false;
          order = order.filter((other) => other !== name);
        } else if (known?.halfOpen && kind === 'touch') {
          table.touchHalfOpen(known.entry);
          order = [...order.filter((other) => other !== name), name];
        } else if (known !== undefined && !known.halfOpen && kind === 'state') {
          table.setState(known.entry, TcpState.closeWait);
        }
        const halfOpen = [...model.values()].filter((value) => value.halfOpen).length;
        assert.deepEqual([table.halfOpenCount, table.establishedCount], [halfOpen, model.size - halfOpen]);
        assert.equal(table.oldestHalfOpen, order.length === 0 ? absent : model.get(order[0]!)!.entry);
        for (const wanted of [true, false]) {
          for (let number = 1; number <= 24; number += 1) {
            const expected = model.get(`${number} ${wanted}`);
            assert.equal(table.find(keyOf(number, wanted)), expected?.entry ?? absent);
            const reply = table.findReplyOf(keyOf(number, wanted), 0);
            assert.equal(reply, expected?.destination === 0 ? expected.entry : absent);
            const answer = answerTo(keyOf(number, wanted), 0x0a000001, 8080);
            assert.equal(table.findReply(answer), expected?.destination === 0 ? expected.entry : absent);
          }
        }
      }
      const counted =
        destinations.active[0]! + destinations.active[1]! + destinations.inactive[0]! + destinations.inactive[1]!;
      assert.equal(counted, model.size);
    }),
    { numRuns: 100 },
  );
});

test('slots are used again, so that memory follows the number of connections', () => {
  const { table } = tableOf(10, 10);
  for (let round = 0; round < 50; round += 1) {
    const entry = table.insert(keyOf(round + 1), 1, TcpState.established, 0, 0, 1);
    assert.equal(table.words[entry + EntryWord.clientAddress], round + 1);
    table.remove(entry);
  }
  assert.equal(table.highWater, 1);
});

test('a large table costs memory only as it fills', () => {
  const before = process.memoryUsage.rss();
  const { table } = tableOf(65_536, 1_048_576);
  assert.ok(process.memoryUsage.rss() - before < 8 << 20, 'an empty table');
  for (let i = 0; i < 1000; i += 1) table.insert(keyOf(i + 1), 0, TcpState.established, 0, 0, 1);
  assert.ok(process.memoryUsage.rss() - before < 24 << 20, 'a thousand connections');
});
