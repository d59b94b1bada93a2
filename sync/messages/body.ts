// SPDX-License-Identifier: Apache-2.0
import { Packr, Unpackr } from 'msgpackr';
import { accept, type Result, reject } from '../../src/lib/result.ts';
import { type BodyReason, checkBody } from './body-bounds.ts';
import type { Element, Field, FieldReason } from './fields.ts';
import { type DatagramType, type Message, type MessageName, messages, type OutgoingOf } from './table.ts';

export type MessageReason = BodyReason | FieldReason;

/** A row of the table in the form in which bodies are parsed and emitted. */
interface Layout {
  readonly shape: string;
  readonly names: readonly string[];
  readonly fields: readonly Field<unknown>[];
}

const layouts: ReadonlyMap<DatagramType, Layout> = new Map(
  Object.values(messages).map((row) => {
    const fields = Object.values<Field<unknown>>(row.fields);
    return [row.type, { shape: fields.map(({ shape }) => shape).join(''), names: Object.keys(row.fields), fields }];
  }),
);

/** No records (they compile functions), no references, no class instances. checkBody excludes the rest. */
const options = { useRecords: false, structuredClone: false, moreTypes: false, int64AsType: 'number' } as const;
const packr = new Packr(options);
const unpackr = new Unpackr(options);

/** Decodes the body of a frame of this type. */
export function parseMessage(type: DatagramType, body: Uint8Array): Result<Message, MessageReason> {
  const bounds = checkBody(body);
  if (bounds !== undefined) return reject(bounds);
  const elements = decode(body);
  if (elements === undefined) return reject('bodyNotMessagePack');
  const { shape, names, fields } = layouts.get(type)!;
  if (!hasShape(elements, shape)) return reject('bodyShape');
  const message: Record<string, unknown> = { type };
  let at = 0;
  for (let i = 0; i < fields.length; i += 1) {
    const field = fields[i]!;
    const value = field.parse(elements, at);
    if (!value.ok) return value;
    message[names[i]!] = value.value;
    at += field.shape.length;
  }
  return accept(message as Message);
}

/** Encodes a body. The result is only valid until the next call. */
export function emitMessage(message: OutgoingOf<MessageName>): Uint8Array {
  const values: Readonly<Record<string, unknown>> = message;
  const elements: Element[] = [];
  const { names, fields } = layouts.get(message.type)!;
  for (let i = 0; i < fields.length; i += 1) fields[i]!.emit(values[names[i]!], elements);
  return packr.pack(elements);
}

function decode(body: Uint8Array): readonly Element[] | undefined {
  try {
    return unpackr.unpack(body) as readonly Element[];
  } catch {
    // Not reachable while checkBody is right, but network input must not throw even if it is wrong.
    return undefined;
  }
}

function hasShape(elements: readonly Element[], shape: string): boolean {
  if (elements.length !== shape.length) return false;
  for (let i = 0; i < shape.length; i += 1) {
    if ((typeof elements[i] === 'number') !== (shape[i] === 'n')) return false;
  }
  return true;
}
