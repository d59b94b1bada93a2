// SPDX-License-Identifier: Apache-2.0
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from '../src/lib/bytes.ts';
import { accept, type Result, reject } from '../src/lib/result.ts';
import type { ClassBits } from './messages/entries.ts';
import { type DatagramType, isKnownType, isSequenced } from './messages/table.ts';

/**
 * The fixed header of every datagram, big-endian, checked before anything else is read:
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +---------------+---------------+---------------+---------------+
 *   0 |                     magic  42 54 ff ff                        |
 *     +---------------+---------------+---------------+---------------+
 *   4 |  version (1)  |    sync id    | key id (0)    |     type      |
 *     +---------------+---------------+---------------+---------------+
 *   8 |            flags              |          body length          |
 *     +---------------+---------------+---------------+---------------+
 *  12 |                          sender id                            |
 *     +---------------+---------------+---------------+---------------+
 *  16 |                     epoch (64 bits)                           |
 *  24 |                     sequence number (64 bits)                 |
 *  32 |                     datagram number (64 bits)                 |
 *  40 |                     second class (64 bits)                    |
 *     +---------------+---------------+---------------+---------------+
 *  48 |                     body ...                                  |
 *
 * Bytes 2 and 3 are where a kernel's IPVS receiver (versions 0 and 1, ip_vs_sync.c) reads the datagram's size: 65535
 * is more than UDP can carry, so it always drops these datagrams, and none of its own can begin with this magic.
 */
export interface Frame {
  readonly type: DatagramType;
  readonly syncId: number;
  /** The sender has sent this datagram before. */
  readonly resent: boolean;
  /** 1..4294967295, the same after a restart. */
  readonly sender: number;
  /** Rises with each start of the sender; below 2^53. */
  readonly epoch: number;
  /**
   * A sequenced datagram has its own number, from 1 on; any other has the last number that the sender has given out (0
   * for none). 64 bits on the wire and below 2^53, so it does not wrap: at a million a second that takes 285 years.
   */
  readonly sequence: number;
  /** A view of the datagram. */
  readonly body: Uint8Array;
}

export type FrameFields = Omit<Frame, 'body'> & {
  /** Counts all datagrams of this epoch, resends included, for the nonce and the replay window of sealing. */
  readonly datagramNumber: number;
  /** Which entries of a delta or chunk are of the second class. Absent: none. */
  readonly secondClass?: ClassBits;
};

export const frameReasons = [
  'truncated',
  'oversized',
  'badMagic',
  'badVersion',
  'foreignSyncId',
  'sealed',
  'unknownType',
  'unknownFlags',
  'lengthMismatch',
  'badSender',
  'badEpoch',
  'badSequence',
] as const;
export type FrameReason = (typeof frameReasons)[number];

export const frameLength = 48;
export const syncIdOffset = 5;
/** The most that UDP over IPv4 carries. */
export const datagramLengthMax = 65_507;
const protocolVersion = 1;

const classesOffset = 40;
const magic = 0x4254ffff;
const resentFlag = 1;

/** Checks the header only: the body is untouched. Reasons are checked in the order of `frameReasons`. */
export function parseFrame(bytes: Uint8Array, syncId: number): Result<Frame, FrameReason> {
  if (bytes.length < frameLength) return reject('truncated');
  if (bytes.length > datagramLengthMax) return reject('oversized');
  if (readU32(bytes, 0) !== magic) return reject('badMagic');
  if (bytes[4] !== protocolVersion) return reject('badVersion');
  if (bytes[syncIdOffset] !== syncId) return reject('foreignSyncId');
  // A director without the key cannot read a sealed datagram.
  if (bytes[6] !== 0) return reject('sealed');
  const type = bytes[7]!;
  if (!isKnownType(type)) return reject('unknownType');
  const flags = readU16(bytes, 8);
  if ((flags & ~resentFlag) !== 0) return reject('unknownFlags');
  if (readU16(bytes, 10) !== bytes.length - frameLength) return reject('lengthMismatch');
  const sender = readU32(bytes, 12);
  if (sender === 0) return reject('badSender');
  const epoch = readU64(bytes, 16);
  if (epoch === 0 || !Number.isSafeInteger(epoch)) return reject('badEpoch');
  const sequence = readU64(bytes, 24);
  if (!Number.isSafeInteger(sequence)) return reject('badSequence');
  if (sequence === 0 && isSequenced(type)) return reject('badSequence');
  return accept({
    type,
    syncId,
    resent: (flags & resentFlag) !== 0,
    sender,
    epoch,
    sequence,
    body: bytes.subarray(frameLength),
  });
}

/** Writes the header of a datagram whose body has `bodyLength` bytes at `offset`; gives where the body starts. */
export function emitFrame(fields: FrameFields, bodyLength: number, buffer: Uint8Array, offset: number): number {
  writeU32(buffer, offset, magic);
  buffer[offset + 4] = protocolVersion;
  buffer[offset + syncIdOffset] = fields.syncId;
  buffer[offset + 6] = 0;
  buffer[offset + 7] = fields.type;
  writeU16(buffer, offset + 8, fields.resent ? resentFlag : 0);
  writeU16(buffer, offset + 10, bodyLength);
  writeU32(buffer, offset + 12, fields.sender);
  writeU64(buffer, offset + 16, fields.epoch);
  writeU64(buffer, offset + 24, fields.sequence);
  writeU64(buffer, offset + 32, fields.datagramNumber);
  writeU32(buffer, offset + classesOffset, fields.secondClass?.high ?? 0);
  writeU32(buffer, offset + classesOffset + 4, fields.secondClass?.low ?? 0);
  return offset + frameLength;
}

/** Of a datagram whose header has been checked. A director of an older version sends zeros, and ignores the field. */
export function readSecondClass(datagram: Uint8Array): ClassBits {
  return { high: readU32(datagram, classesOffset), low: readU32(datagram, classesOffset + 4) };
}

/** Changes a datagram that was sent into its own resend. */
export function markResent(datagram: Uint8Array, datagramNumber: number): void {
  writeU16(datagram, 8, resentFlag);
  writeU64(datagram, 32, datagramNumber);
}
