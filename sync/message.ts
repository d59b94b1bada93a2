// SPDX-License-Identifier: Apache-2.0
import { Packr, Unpackr } from 'msgpackr';
import { accept, type Result, reject } from '../src/lib/result.ts';
import { type BodyReason, checkBody } from './body-bounds.ts';
import { parseEntries } from './entries.ts';
import { DatagramType, readU64, writeU64 } from './frame.ts';

/** What a joining or working director says of its own table. */
export type GateState = 'alone' | 'joining' | 'inSync';

/** First and last missing sequence number, both included. */
export type SequenceRange = readonly [first: number, last: number];

/** One director in one epoch. */
export interface Incarnation {
  readonly sender: number;
  readonly epoch: number;
}

export interface TransferName {
  /** Sender id of the director that asked. */
  readonly requester: number;
  /** Chosen by the requester; a number that it has not used lately. 32 bits. */
  readonly transfer: number;
}

/** Takes a number of its sender's stream. Entries are packed (entries.ts) to send, a record batch once received. */
export type SequencedMessage<Entries = Int32Array> =
  | { readonly type: typeof DatagramType.delta; readonly entries: Entries }
  | ({ readonly type: typeof DatagramType.bulkBegin } & TransferName)
  | ({ readonly type: typeof DatagramType.bulkChunk; readonly index: number; readonly entries: Entries } & TransferName)
  | ({ readonly type: typeof DatagramType.bulkEnd; readonly chunks: number; readonly records: number } & TransferName);

export type ControlMessage =
  | {
      readonly type: typeof DatagramType.heartbeat;
      readonly gate: GateState;
      /** Digest of the virtual services: 16 hexadecimal digits. */
      readonly fingerprint: string;
      /** The sender wants to hear at once who else is there. */
      readonly solicit: boolean;
    }
  | { readonly type: typeof DatagramType.nack; readonly target: Incarnation; readonly ranges: readonly SequenceRange[] }
  /** Everything below `oldest` can no longer be sent again. */
  | { readonly type: typeof DatagramType.gone; readonly oldest: number }
  | {
      readonly type: typeof DatagramType.bulkRequest | typeof DatagramType.bulkCredit;
      readonly target: Incarnation;
      readonly transfer: number;
      /** Chunks with a lower index may be sent. */
      readonly chunkLimit: number;
    }
  | { readonly type: typeof DatagramType.leave };

export type Message<Entries = Int32Array> = SequencedMessage<Entries> | ControlMessage;

export const messageReasons = ['bodyShape', 'badEntry', 'badRange'] as const;
export type MessageReason = (typeof messageReasons)[number] | BodyReason;

export const nackRangesMax = 32;
/** What a message of entries takes beside them: array token, four 32-bit fields, header of a binary string. */
export const entriesOverhead = 24;

const gates = ['alone', 'joining', 'inSync'] as const satisfies readonly GateState[];
const fingerprintLength = 8;
const rangeLength = 16;
/** No records (they compile functions), no references, no class instances. See checkBody for what this cannot say. */
const options = { useRecords: false, structuredClone: false, moreTypes: false, int64AsType: 'number' } as const;
const packr = new Packr(options);
const unpackr = new Unpackr(options);

type Field = number | Uint8Array;

/** Decodes the body of a frame of this type. */
export function parseMessage(type: DatagramType, body: Uint8Array): Result<Message, MessageReason> {
  const bounds = checkBody(body);
  if (bounds !== undefined) return reject(bounds);
  const fields = decode(body);
  if (fields === undefined) return reject('bodyNotMessagePack');
  switch (type) {
    case DatagramType.delta: {
      if (!hasShape(fields, 'b')) return reject('bodyShape');
      const entries = parseEntries(fields[0] as Uint8Array);
      return entries.ok ? accept({ type, entries: entries.value }) : entries;
    }
    case DatagramType.bulkBegin: {
      if (!hasShape(fields, 'nn')) return reject('bodyShape');
      return accept({ type, ...transferName(fields) });
    }
    case DatagramType.bulkChunk: {
      if (!hasShape(fields, 'nnnb')) return reject('bodyShape');
      const entries = parseEntries(fields[3] as Uint8Array);
      if (!entries.ok) return entries;
      return accept({ type, ...transferName(fields), index: fields[2] as number, entries: entries.value });
    }
    case DatagramType.bulkEnd: {
      if (!hasShape(fields, 'nnnn')) return reject('bodyShape');
      return accept({ type, ...transferName(fields), chunks: fields[2] as number, records: fields[3] as number });
    }
    default:
      return parseControl(type, fields);
  }
}

/** Encodes a body. The result is only valid until the next call. */
export function emitMessage(message: Message<Uint8Array>): Uint8Array {
  return packr.pack(fieldsOf(message));
}

function parseControl(type: ControlMessage['type'], fields: readonly Field[]): Result<ControlMessage, MessageReason> {
  switch (type) {
    case DatagramType.heartbeat: {
      if (!hasShape(fields, 'nbn')) return reject('bodyShape');
      const gate = gates[fields[0] as number];
      const fingerprint = fields[1] as Uint8Array;
      const solicit = fields[2] as number;
      if (gate === undefined || fingerprint.length !== fingerprintLength || solicit > 1) return reject('bodyShape');
      return accept({ type, gate, fingerprint: Buffer.from(fingerprint).toString('hex'), solicit: solicit === 1 });
    }
    case DatagramType.nack: {
      if (!hasShape(fields, 'nbb')) return reject('bodyShape');
      const target = incarnation(fields);
      if (target === undefined) return reject('bodyShape');
      const ranges = parseRanges(fields[2] as Uint8Array);
      return ranges.ok ? accept({ type, target, ranges: ranges.value }) : ranges;
    }
    case DatagramType.gone: {
      const oldest = hasShape(fields, 'b') ? u64Of(fields[0] as Uint8Array) : undefined;
      return oldest === undefined || oldest === 0 ? reject('bodyShape') : accept({ type, oldest });
    }
    case DatagramType.bulkRequest:
    case DatagramType.bulkCredit: {
      if (!hasShape(fields, 'nbnn')) return reject('bodyShape');
      const target = incarnation(fields);
      if (target === undefined) return reject('bodyShape');
      return accept({ type, target, transfer: fields[2] as number, chunkLimit: fields[3] as number });
    }
    case DatagramType.leave:
      return fields.length === 0 ? accept({ type }) : reject('bodyShape');
  }
}

function decode(body: Uint8Array): readonly Field[] | undefined {
  try {
    return unpackr.unpack(body) as readonly Field[];
  } catch {
    // Not reachable while checkBody is right; network input must not throw even when it is not.
    return undefined;
  }
}

/** `n` an unsigned integer, `b` a binary string. */
function hasShape(fields: readonly Field[], shape: string): boolean {
  if (fields.length !== shape.length) return false;
  for (let i = 0; i < shape.length; i += 1) {
    if ((typeof fields[i] === 'number') !== (shape[i] === 'n')) return false;
  }
  return true;
}

function transferName(fields: readonly Field[]): TransferName {
  return { requester: fields[0] as number, transfer: fields[1] as number };
}

function incarnation(fields: readonly Field[]): Incarnation | undefined {
  const epoch = u64Of(fields[1] as Uint8Array);
  return epoch === undefined ? undefined : { sender: fields[0] as number, epoch };
}

function parseRanges(bytes: Uint8Array): Result<readonly SequenceRange[], 'badRange'> {
  const count = bytes.length / rangeLength;
  if (!Number.isInteger(count) || count === 0 || count > nackRangesMax) return reject('badRange');
  const ranges: SequenceRange[] = [];
  let after = 0;
  for (let i = 0; i < count; i += 1) {
    const first = readU64(bytes, i * rangeLength);
    const last = readU64(bytes, i * rangeLength + 8);
    // Rising and apart, so that a few bytes cannot ask for the same datagrams over and over.
    if (!Number.isSafeInteger(last) || first <= after || last < first) return reject('badRange');
    ranges.push([first, last]);
    after = last;
  }
  return accept(ranges);
}

function fieldsOf(message: Message<Uint8Array>): Field[] {
  switch (message.type) {
    case DatagramType.delta:
      return [message.entries];
    case DatagramType.bulkBegin:
      return [message.requester, message.transfer];
    case DatagramType.bulkChunk:
      return [message.requester, message.transfer, message.index, message.entries];
    case DatagramType.bulkEnd:
      return [message.requester, message.transfer, message.chunks, message.records];
    case DatagramType.heartbeat:
      return [gates.indexOf(message.gate), Buffer.from(message.fingerprint, 'hex'), message.solicit ? 1 : 0];
    case DatagramType.nack:
      return [message.target.sender, u64Bytes(message.target.epoch), u64Bytes(...message.ranges.flat())];
    case DatagramType.gone:
      return [u64Bytes(message.oldest)];
    case DatagramType.bulkRequest:
    case DatagramType.bulkCredit:
      return [message.target.sender, u64Bytes(message.target.epoch), message.transfer, message.chunkLimit];
    case DatagramType.leave:
      return [];
  }
}

/** Numbers above 32 bits cross as eight bytes: MessagePack libraries disagree about integers of that size. */
function u64Bytes(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  for (const [i, value] of values.entries()) writeU64(bytes, i * 8, value);
  return bytes;
}

function u64Of(bytes: Uint8Array): number | undefined {
  if (bytes.length !== 8) return undefined;
  const value = readU64(bytes, 0);
  return Number.isSafeInteger(value) ? value : undefined;
}
