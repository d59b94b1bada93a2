// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { type RejectionReason, rejectionReasons } from '../../../sync/counters.ts';
import { DatagramType } from '../../../sync/messages/table.ts';
import { SyncSession } from '../../../sync/session.ts';
import { defaultSyncTuning, type SyncTuning } from '../../../sync/tuning.ts';

interface Vector {
  /** The datagrams in hexadecimal, blanks ignored; the last one is rejected. */
  readonly datagrams: readonly string[];
  readonly tuning?: Partial<SyncTuning>;
}

const me = { senderId: 1, epoch: 100, syncId: 51 };

/** One vector for each reason: what a reader of docs/sync-protocol.md may check by hand. */
const vectors: Readonly<Record<RejectionReason, Vector>> = {
  truncated: { datagrams: ['4254ffff 01 33 00 10'] },
  oversized: { datagrams: [`${header({})}${'00'.repeat(65_507 - 47)}`] },
  badMagic: { datagrams: [datagram({ magic: '42544e31' })] },
  badVersion: { datagrams: [datagram({ version: '02' })] },
  foreignSyncId: { datagrams: [datagram({ syncId: '34' })] },
  sealed: { datagrams: [datagram({ keyId: '01' })] },
  unknownType: { datagrams: [datagram({ type: 5 })] },
  unknownFlags: { datagrams: [datagram({ flags: '0002' })] },
  lengthMismatch: { datagrams: [`${datagram({})}00`] },
  badSender: { datagrams: [datagram({ sender: 0 })] },
  badEpoch: { datagrams: [datagram({ epoch: '0020000000000000' })] },
  badSequence: { datagrams: [datagram({ type: DatagramType.delta, sequence: 0, body: delta() })] },
  bodyNotMessagePack: { datagrams: [datagram({ body: 'c1' })] },
  bodyNotArray: { datagrams: [datagram({ body: '80' })] },
  bodyTooMany: { datagrams: [datagram({ body: `99${'01'.repeat(9)}` })] },
  bodyTooDeep: { datagrams: [datagram({ body: '93 02 91 01 00' })] },
  // A record definition of msgpackr, which would compile a function for it.
  bodyExotic: { datagrams: [datagram({ body: '93 d4 72 40 91 a1 61 01 00 00' })] },
  bodyTruncated: { datagrams: [datagram({ body: '93 02 c4 08 01' })] },
  bodyTrailing: { datagrams: [datagram({ body: '93 02 c4 08 0102030405060708 00 00' })] },
  bodyShape: { datagrams: [datagram({ body: '93 03 c4 08 0102030405060708 00' })] },
  // Client port 0.
  badEntry: { datagrams: [datagram({ type: DatagramType.delta, sequence: 1, body: delta('0000') })] },
  // From 5 to 4.
  badRange: {
    datagrams: [
      datagram({
        type: DatagramType.nack,
        body: '93 01 c4 08 0000000000000064 c4 10 0000000000000005 0000000000000004',
      }),
    ],
  },
  ownDatagram: { datagrams: [datagram({ sender: 1, epoch: '0000000000000064' })] },
  senderIdConflict: { datagrams: [datagram({ sender: 1, epoch: '0000000000000065' })] },
  oldEpoch: { datagrams: [datagram({}), datagram({ epoch: '0000000000000006' })] },
  peerLimit: { datagrams: [datagram({}), datagram({ sender: 3 })], tuning: { peersMax: 1 } },
  duplicate: { datagrams: [numberedDelta(1), numberedDelta(1)] },
  heldFull: { datagrams: [numberedDelta(1), numberedDelta(3)], tuning: { heldBytesMax: 100 } },
  staleTransfer: {
    datagrams: [datagram({ type: DatagramType.bulkBegin, sequence: 1, body: '92 01 00' })],
  },
  // Everything below 2, where nothing has been published.
  futureSequence: {
    datagrams: [
      datagram({
        type: DatagramType.acknowledgement,
        body: '93 01 c4 08 0000000000000064 c4 08 0000000000000002',
      }),
    ],
  },
};

test('every reason has a vector', () => {
  assert.deepEqual(Object.keys(vectors), [...rejectionReasons]);
});

for (const [reason, vector] of Object.entries(vectors)) {
  test(`${reason}: counted once, nothing reaches the table`, () => {
    const applied: Int32Array[] = [];
    const session = openSession(vector.tuning ?? {}, applied);
    const accepted = vector.datagrams.slice(0, -1);
    for (const one of accepted) session.receive(bytesOf(one), '192.0.2.2' as IpAddress, 1);
    const before = { peers: session.status(1).peers.length, applied: applied.length };
    session.receive(bytesOf(vector.datagrams.at(-1)!), '192.0.2.2' as IpAddress, 1);
    const expected = Object.fromEntries(rejectionReasons.map((name) => [name, name === reason ? 1 : 0]));
    assert.deepEqual(session.status(1).counters.rejected, expected);
    assert.equal(applied.length, before.applied);
    const isFromPeer = reason === 'staleTransfer' || reason === 'futureSequence';
    // A well-formed datagram that is out of place still says that its sender is there.
    assert.equal(session.status(1).peers.length, isFromPeer ? 1 : before.peers);
  });
}

test('a valid datagram is accepted: the vectors differ from it in one place', () => {
  const applied: Int32Array[] = [];
  const session = openSession({}, applied);
  session.receive(bytesOf(datagram({})), '192.0.2.2' as IpAddress, 1);
  session.receive(bytesOf(numberedDelta(1)), '192.0.2.2' as IpAddress, 1);
  assert.equal(applied.length, 1);
  assert.deepEqual(new Set(Object.values(session.status(1).counters.rejected)), new Set([0]));
});

function openSession(tuning: Partial<SyncTuning>, applied: Int32Array[]): SyncSession {
  const output = {
    send: () => {},
    apply: (batch: Int32Array) => applied.push(batch) > 0,
    exportPage: () => {},
    gateChanged: () => {},
    peerLost: () => {},
    fingerprintCompared: () => {},
  };
  return new SyncSession(me, { ...defaultSyncTuning, ...tuning }, '0000000000000000', output, 0);
}

interface Parts {
  readonly magic?: string;
  readonly version?: string;
  readonly syncId?: string;
  readonly keyId?: string;
  readonly type?: number;
  readonly flags?: string;
  readonly sender?: number;
  readonly epoch?: string;
  readonly sequence?: number;
  readonly body?: string;
}

function datagram(parts: Parts): string {
  return header(parts) + bodyOf(parts);
}

/** By default a heartbeat of sender 2 in epoch 7 that has sent nothing yet. */
function header(parts: Parts): string {
  const { magic = '4254ffff', version = '01', syncId = '33', keyId = '00', flags = '0000' } = parts;
  const { type = DatagramType.heartbeat, sender = 2, epoch = '0000000000000007', sequence = 0 } = parts;
  const length = bytesOf(bodyOf(parts)).length;
  const fields = [magic, version, syncId, keyId, hex(type, 1), flags, hex(length, 2), hex(sender, 4), epoch];
  return [...fields, hex(sequence, 8), '00'.repeat(16)].join('');
}

function bodyOf({ body = '93 02 c4 08 0000000000000000 00' }: Parts): string {
  return body;
}

function numberedDelta(sequence: number): string {
  return datagram({ type: DatagramType.delta, sequence, body: delta() });
}

/** One established connection 203.0.113.1:1024 -> 198.51.100.10:80, forwarded to 10.0.0.1:8080, 900 s. */
function delta(clientPort = '0400'): string {
  return `91 c4 1d 09 06 01 ${clientPort} 0050 1f90 00000000 000dbba0 cb007101 c633640a 0a000001`;
}

function hex(value: number, bytes: number): string {
  return value.toString(16).padStart(2 * bytes, '0');
}

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}
