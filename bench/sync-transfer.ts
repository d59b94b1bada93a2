// SPDX-License-Identifier: Apache-2.0
// A snapshot of a million entries from one director to another, then events one by one: both in this process, over a
// transport that hands datagrams over at once, into tables that take everything.

import type { SyncTransport } from '../src/director/ports.ts';
import { type Replication, startReplication } from '../src/director/replication/replication.ts';
import { type ConnectionPort, nothingApplied } from '../src/engine/engine.ts';
import type { Clock } from '../src/lib/clock.ts';
import type { IpAddress } from '../src/lib/ip-address.ts';
import { packHead, RecordOffset, recordWords } from '../src/model/connection-batch.ts';

const entriesTotal = Number(process.argv[2] ?? 1_000_000);
const eventsTotal = 1_000_000;

const clock: Clock = {
  nowMs: () => performance.now(),
  callAt: (atMs, task) => {
    const timer = setTimeout(task, Math.max(0, Math.ceil(atMs - performance.now())));
    return () => clearTimeout(timer);
  },
};

const table = makeTable(entriesTotal);
const link = connect();
const full = makePort(table);
const empty = makePort(new Int32Array(0));
const startMs = performance.now();
const a = join(1, link.a, full.port);
const b = join(2, link.b, empty.port);
await until(() => b.status().state === 'inSync' && a.status().state === 'inSync');
const bulkMs = performance.now() - startMs;
console.log(`snapshot: ${empty.imported()} entries in ${(bulkMs / 1000).toFixed(2)} s`);

const eventsStartMs = performance.now();
let late = 0;
// One millisecond's worth for each turn, as the engine hands them over.
for (let sent = 0; sent < eventsTotal; sent += 1000) {
  full.emit(table.subarray(0, 1000 * recordWords));
  late = Math.max(late, sent + 1000 - (empty.imported() - entriesTotal));
  await new Promise(setImmediate);
}
await until(() => empty.imported() >= entriesTotal + eventsTotal);
const eventsMs = performance.now() - eventsStartMs;
console.log(`events: ${Math.round(eventsTotal / eventsMs)} thousand a second, at most ${late} waiting`);
a.close();
b.close();

function join(senderId: number, transport: SyncTransport, connections: ConnectionPort): Replication {
  const identity = { senderId, epoch: 1, syncId: 1 };
  return startReplication({ transport, connections, clock, identity, services: [], log: () => {} });
}

/** Datagrams queue up and are handed over in the next turn of the loop, as from a socket. */
function connect(): { a: SyncTransport; b: SyncTransport } {
  const listeners: ((datagram: Uint8Array, source: IpAddress) => void)[] = [];
  const end = (self: number): SyncTransport => ({
    send: (datagram) => {
      setImmediate(() => listeners[1 - self]?.(datagram, `192.0.2.${self + 1}` as IpAddress));
      return true;
    },
    onReceive: (listener) => {
      listeners[self] = listener;
    },
    close: () => {},
  });
  return { a: end(0), b: end(1) };
}

function makePort(entries: Int32Array): {
  port: ConnectionPort;
  imported: () => number;
  emit: (batch: Int32Array) => void;
} {
  let imported = 0;
  let listener: (batch: Int32Array) => void = () => {};
  const port: ConnectionPort = {
    onEvents: (one) => {
      listener = one;
    },
    exportPage: async (cursor, recordsMax) => {
      const end = Math.min(entries.length / recordWords, cursor + recordsMax);
      const batch = entries.slice(cursor * recordWords, end * recordWords);
      return { batch, next: end * recordWords < entries.length ? end : undefined };
    },
    expectRecords: () => undefined,
    applyBatch: async (batch) => {
      const applied = batch.length / recordWords;
      imported += applied;
      return { ...nothingApplied, applied };
    },
  };
  return { port, imported: () => imported, emit: (batch) => listener(batch) };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

function makeTable(records: number): Int32Array {
  const made = new Int32Array(records * recordWords);
  for (let n = 0; n < records; n += 1) {
    const at = n * recordWords;
    made[at] = packHead({ event: 1, protocol: 6, state: 1, family: 'ipv4', local: true, forwardingMethod: 0 });
    made[at + RecordOffset.ports] = ((1024 + (n % 60_000)) << 16) | 80;
    made[at + RecordOffset.realPort] = 8080;
    made[at + RecordOffset.timeoutMs] = 900_000;
    made[at + RecordOffset.clientAddress] = (0xcb007100 + Math.floor(n / 60_000)) | 0;
    made[at + RecordOffset.virtualAddress] = 0xc633640a | 0;
    made[at + RecordOffset.realAddress] = 0x0a000001;
  }
  return made;
}
