// SPDX-License-Identifier: Apache-2.0
// Entries in one packed binary field against one MessagePack object each: bytes and time for a million of them.
import { Packr, Unpackr } from 'msgpackr';
import { packHead, RecordOffset, recordWords } from '../src/model/connection-batch.ts';
import { emitMessage, parseMessage } from '../sync/messages/body.ts';
import { emitEntries, measureEntries } from '../sync/messages/entries.ts';
import { DatagramType } from '../sync/messages/table.ts';

const entriesTotal = 1_000_000;
const room = 1400;
/** As many as keep within `room`. */
const objectsPerDatagram = 27;
const options = { useRecords: false } as const;
const packr = new Packr(options);
const unpackr = new Unpackr(options);
const batch = makeBatch(10_000);

report('packed', packed());
report('object each', objects());

interface Figures {
  readonly bytes: number;
  readonly datagrams: number;
  readonly encodeMs: number;
  readonly decodeMs: number;
}

function packed(): Figures {
  const scratch = new Uint8Array(room);
  return measure(
    (from) => {
      const { count, length } = measureEntries(batch, from, room);
      emitEntries(batch, from, count, scratch, 0);
      return { count, body: emitMessage({ type: DatagramType.delta, entries: scratch.subarray(0, length) }).slice() };
    },
    (body) => {
      const message = parseMessage(DatagramType.delta, body);
      if (!message.ok) throw new Error(message.reason);
    },
  );
}

/** The best case for objects: no validation of what was decoded, short keys, and whole words as values. */
function objects(): Figures {
  return measure(
    (from) => {
      const count = Math.min(objectsPerDatagram, batch.length / recordWords - from);
      return { count, body: packr.pack(Array.from({ length: count }, (_, i) => shortObject(from + i))).slice() };
    },
    (body) => {
      for (const entry of unpackr.unpack(body)) if (entry.p === 0) throw new Error('the ports are missing');
    },
  );
}

function measure(
  encode: (from: number) => { count: number; body: Uint8Array },
  decode: (body: Uint8Array) => void,
): Figures {
  const records = batch.length / recordWords;
  const bodies: Uint8Array[] = [];
  const startMs = performance.now();
  for (let done = 0; done < entriesTotal; ) {
    const { count, body } = encode(done % records);
    bodies.push(body);
    done += count;
  }
  const encodedMs = performance.now();
  for (const body of bodies) decode(body);
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  return { bytes, datagrams: bodies.length, encodeMs: encodedMs - startMs, decodeMs: performance.now() - encodedMs };
}

function report(name: string, { bytes, datagrams, encodeMs, decodeMs }: Figures): void {
  const perEntry = (bytes / entriesTotal).toFixed(1);
  console.log(
    `${name}: ${perEntry} bytes an entry, ${datagrams} datagrams, encode ${encodeMs.toFixed(0)} ms, decode ${decodeMs.toFixed(0)} ms`,
  );
}

function shortObject(record: number): Record<string, number> {
  const at = record * recordWords;
  const word = (offset: number): number => batch[at + offset]! >>> 0;
  return {
    h: word(RecordOffset.head),
    p: word(RecordOffset.ports),
    r: word(RecordOffset.realPort),
    i: word(RecordOffset.idleMs),
    t: word(RecordOffset.timeoutMs),
    ca: word(RecordOffset.clientAddress),
    va: word(RecordOffset.virtualAddress),
    ra: word(RecordOffset.realAddress),
  };
}

function makeBatch(records: number): Int32Array {
  const made = new Int32Array(records * recordWords);
  for (let n = 0; n < records; n += 1) {
    const at = n * recordWords;
    made[at] = packHead({ event: 1, protocol: 6, state: 1, family: 'ipv4', local: true, forwardingMethod: 0 });
    made[at + RecordOffset.ports] = ((1024 + n) << 16) | 80;
    made[at + RecordOffset.realPort] = 8080;
    made[at + RecordOffset.timeoutMs] = 900_000;
    made[at + RecordOffset.clientAddress] = 0xcb007101 | 0;
    made[at + RecordOffset.virtualAddress] = 0xc633640a | 0;
    made[at + RecordOffset.realAddress] = 0x0a000001;
  }
  return made;
}
