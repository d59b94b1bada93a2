// SPDX-License-Identifier: Apache-2.0
import { readU64, writeU64 } from '../../src/lib/bytes.ts';
import { accept, type Result, reject } from '../../src/lib/result.ts';
import { type ToldGateState, toldGateStates } from '../gate.ts';
import { parseEntries } from './entries.ts';

// The fields of messages. A field takes one or more elements of the body and checks the values of each.

/** An unsigned integer of up to 32 bits, or a binary string: see body-bounds.ts. */
export type Element = number | Uint8Array;

/** `bodyShape`: an element is missing, of the other kind, or not a value of its field. */
export const fieldReasons = ['bodyShape', 'badEntry', 'badRange'] as const;
export type FieldReason = (typeof fieldReasons)[number];

/** `Value` is the type of the received value, `Sent` that of the sent one where it differs. */
export interface Field<Value, Sent = Value> {
  /** A letter for each element: `n` an integer, `b` a binary string. */
  readonly shape: string;
  /** Reads the elements from `at` on; the caller has checked that they have this shape. */
  parse(elements: readonly Element[], at: number): Result<Value, FieldReason>;
  /** Appends its elements. */
  emit(value: Sent, elements: Element[]): void;
}

/** First and last sequence number, both included. */
export type SequenceRange = readonly [first: number, last: number];

/** One director in one epoch. */
export interface Incarnation {
  readonly sender: number;
  readonly epoch: number;
}

const rangeLength = 16;

/** 0..4294967295. */
export const u32: Field<number> = {
  shape: 'n',
  parse: (elements, at) => accept(elements[at] as number),
  emit: (value, elements) => void elements.push(value),
};

/** 1..2^53 - 1, in eight bytes. */
export const sequenceNumber: Field<number> = {
  shape: 'b',
  parse: (elements, at) => {
    const value = u64Of(elements[at] as Uint8Array);
    return value === undefined || value === 0 ? reject('bodyShape') : accept(value);
  },
  emit: (value, elements) => void elements.push(u64Bytes(value)),
};

/** 0 or 1. */
export const flag: Field<boolean> = {
  shape: 'n',
  parse: (elements, at) => {
    const value = elements[at] as number;
    return value > 1 ? reject('bodyShape') : accept(value === 1);
  },
  emit: (value, elements) => void elements.push(value ? 1 : 0),
};

/** By its index in `toldGateStates`. */
export const gateState: Field<ToldGateState> = {
  shape: 'n',
  parse: (elements, at) => {
    const state = toldGateStates[elements[at] as number];
    return state === undefined ? reject('bodyShape') : accept(state);
  },
  emit: (state, elements) => void elements.push(toldGateStates.indexOf(state)),
};

/** A digest of `length` bytes, in hexadecimal digits. */
export function digest(length: number): Field<string> {
  return {
    shape: 'b',
    parse: (elements, at) => {
      const bytes = elements[at] as Uint8Array;
      return bytes.length === length ? accept(Buffer.from(bytes).toString('hex')) : reject('bodyShape');
    },
    emit: (digits, elements) => void elements.push(Buffer.from(digits, 'hex')),
  };
}

/** The director that a message is for: its sender id, and its epoch (0..2^53 - 1) in eight bytes. */
export const incarnation: Field<Incarnation> = {
  shape: 'nb',
  parse: (elements, at) => {
    const epoch = u64Of(elements[at + 1] as Uint8Array);
    return epoch === undefined ? reject('bodyShape') : accept({ sender: elements[at] as number, epoch });
  },
  emit: ({ sender, epoch }, elements) => void elements.push(sender, u64Bytes(epoch)),
};

/** 1..`countMax` ranges, rising and apart, so that a few bytes cannot ask for the same datagrams over and over. */
export function sequenceRanges(countMax: number): Field<readonly SequenceRange[]> {
  return {
    shape: 'b',
    parse: (elements, at) => {
      const bytes = elements[at] as Uint8Array;
      const count = bytes.length / rangeLength;
      if (!Number.isInteger(count) || count === 0 || count > countMax) return reject('badRange');
      const ranges: SequenceRange[] = [];
      let after = 0;
      for (let i = 0; i < count; i += 1) {
        const first = readU64(bytes, i * rangeLength);
        const last = readU64(bytes, i * rangeLength + 8);
        if (!Number.isSafeInteger(last) || first <= after || last < first) return reject('badRange');
        ranges.push([first, last]);
        after = last;
      }
      return accept(ranges);
    },
    emit: (ranges, elements) => void elements.push(u64Bytes(...ranges.flat())),
  };
}

/** At least one connection entry. They are sent packed (`emitEntries`) and received as a batch of records. */
export const connectionEntries: Field<Int32Array, Uint8Array> = {
  shape: 'b',
  parse: (elements, at) => parseEntries(elements[at] as Uint8Array),
  emit: (packed, elements) => void elements.push(packed),
};

/** Numbers of more than 32 bits are sent as eight bytes: MessagePack libraries disagree about integers of that size. */
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
