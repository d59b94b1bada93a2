// SPDX-License-Identifier: Apache-2.0
import { readU16, readU32, writeU16, writeU32 } from '../../lib/bytes.ts';
import { accept, type Result, reject } from '../../lib/result.ts';

// One message of a session. The payload follows from the other fields, so the receiver finds every wrong byte.
//
//   0      2    3         4        8         12            16    20              22        24
//   magic  kind direction session  sequence  acknowledged  seed  payload length  reserved  payload …

export interface Message {
  /** `alarm`: the sender has found the other direction corrupted, and closes. */
  readonly kind: 'payload' | 'alarm';
  /** 0 from client to server, 1 back. */
  readonly direction: 0 | 1;
  readonly session: number;
  /** From 0, one by one. */
  readonly sequence: number;
  /** The number of messages of the other direction that the sender has verified. */
  readonly acknowledged: number;
  readonly seed: number;
  /** In bytes, a multiple of 4, 0..payloadLengthMax. */
  readonly payloadLength: number;
}

export type MessageReason = 'incomplete' | 'badMagic' | 'badKind' | 'badLength' | 'badPayload';

export const headerLength = 24;
const payloadLengthMax = 16_384;
const magic = 0xba70;
const kinds = ['payload', 'alarm'] as const;

export function messageLength(message: Pick<Message, 'payloadLength'>): number {
  return headerLength + message.payloadLength;
}

export function emitMessage(message: Message, buffer: Uint8Array, offset: number): void {
  writeU16(buffer, offset, magic);
  buffer[offset + 2] = kinds.indexOf(message.kind);
  buffer[offset + 3] = message.direction;
  writeU32(buffer, offset + 4, message.session);
  writeU32(buffer, offset + 8, message.sequence);
  writeU32(buffer, offset + 12, message.acknowledged);
  writeU32(buffer, offset + 16, message.seed);
  writeU16(buffer, offset + 20, message.payloadLength);
  writeU16(buffer, offset + 22, 0);
  let word = firstWord(message);
  for (let i = 0; i < message.payloadLength; i += 4) {
    word = nextWord(word);
    writeU32(buffer, offset + headerLength + i, word);
  }
}

/** Reads the message at `offset` and checks its payload; `incomplete` when bytes are still to come. */
export function parseMessage(bytes: Uint8Array, offset = 0): Result<Message, MessageReason> {
  const available = bytes.length - offset;
  if (available < headerLength) return reject('incomplete');
  if (readU16(bytes, offset) !== magic) return reject('badMagic');
  const kind = kinds[bytes[offset + 2]!];
  const direction = bytes[offset + 3]!;
  if (kind === undefined || (direction !== 0 && direction !== 1)) return reject('badKind');
  const payloadLength = readU16(bytes, offset + 20);
  if (payloadLength > payloadLengthMax || payloadLength % 4 !== 0) return reject('badLength');
  if (available < headerLength + payloadLength) return reject('incomplete');
  const message: Message = {
    kind,
    direction,
    session: readU32(bytes, offset + 4),
    sequence: readU32(bytes, offset + 8),
    acknowledged: readU32(bytes, offset + 12),
    seed: readU32(bytes, offset + 16),
    payloadLength,
  };
  return holdsPayload(bytes, offset + headerLength, message) ? accept(message) : reject('badPayload');
}

function holdsPayload(bytes: Uint8Array, offset: number, message: Message): boolean {
  let word = firstWord(message);
  for (let i = 0; i < message.payloadLength; i += 4) {
    word = nextWord(word);
    if (readU32(bytes, offset + i) !== word >>> 0) return false;
  }
  return true;
}

/** Never zero, where xorshift would stay. */
function firstWord({ seed, session, sequence, direction }: Message): number {
  return (seed ^ Math.imul(session + 1, 0x9e3779b1) ^ Math.imul(sequence + 1, 0x85ebca6b) ^ direction) | 1;
}

/** Marsaglia's xorshift32: cheap, and a shifted or repeated piece of the stream does not fit. */
function nextWord(word: number): number {
  word ^= word << 13;
  word ^= word >>> 17;
  return word ^ (word << 5);
}
