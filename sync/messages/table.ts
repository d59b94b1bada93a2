// SPDX-License-Identifier: Apache-2.0
import {
  connectionEntries,
  digest,
  type Field,
  flag,
  gateState,
  incarnation,
  sequenceNumber,
  sequenceRanges,
  u32,
} from './fields.ts';

export const nackRangesMax = 32;
/** Bytes of a message besides its entries: array token, four 32-bit fields, header of a binary string. */
export const entriesOverhead = 24;

/**
 * All messages: type number, whether it takes a number of its sender's stream, and fields in the order of the body
 * (docs/sync-protocol.md). Types, parser and emitter follow from this table. Each message has one handler, in
 * applier.ts (messages of the stream) or control.ts (all others); the compiler reports a missing one.
 */
export const messages = {
  /** Events of connections that the sender forwards. */
  delta: sequenced(1, { entries: connectionEntries }),
  /** `requester`: sender id of the director that asked. `transfer`: a number chosen by it that was not used lately. */
  bulkBegin: sequenced(2, { requester: u32, transfer: u32 }),
  bulkChunk: sequenced(3, { requester: u32, transfer: u32, index: u32, entries: connectionEntries }),
  /** `chunks`, `records`: how many were sent. */
  bulkEnd: sequenced(4, { requester: u32, transfer: u32, chunks: u32, records: u32 }),
  /**
   * `fingerprint`: of the virtual services. `solicit`: the sender asks the others to answer with a heartbeat at once.
   */
  heartbeat: control(16, { gate: gateState, fingerprint: digest(8), solicit: flag }),
  /** Requests datagrams of the target's stream again. */
  nack: control(17, { target: incarnation, ranges: sequenceRanges(nackRangesMax) }),
  /** Everything below `oldest` can no longer be sent again. */
  gone: control(18, { oldest: sequenceNumber }),
  /** Chunks with an index below `chunkLimit` may be sent. */
  bulkRequest: control(19, { target: incarnation, transfer: u32, chunkLimit: u32 }),
  bulkCredit: control(20, { target: incarnation, transfer: u32, chunkLimit: u32 }),
  leave: control(21, {}),
  /** Asks all that hear it to acknowledge the sender's stream as soon as they have all of it, up to the header's number. */
  acknowledgementRequest: control(22, {}),
  /** Of the target's stream everything below `next` has been applied in order. */
  acknowledgement: control(23, { target: incarnation, next: sequenceNumber }),
} as const;

type Messages = typeof messages;
export type MessageName = keyof Messages;
export type SequencedName = {
  [Name in MessageName]: Messages[Name]['sequenced'] extends true ? Name : never;
}[MessageName];
export type ControlName = Exclude<MessageName, SequencedName>;

/** Type numbers by name. */
export const DatagramType = Object.fromEntries(Object.entries(messages).map(([name, { type }]) => [name, type])) as {
  readonly [Name in MessageName]: Messages[Name]['type'];
};
export type DatagramType = Messages[MessageName]['type'];

/** A message as received. */
export type MessageOf<Name extends MessageName> = Name extends MessageName
  ? { readonly type: Messages[Name]['type'] } & {
      readonly [Key in keyof Messages[Name]['fields']]: ValueOf<Messages[Name]['fields'][Key]>;
    }
  : never;
/** A message as sent: entries are packed. */
export type OutgoingOf<Name extends MessageName> = Name extends MessageName
  ? { readonly type: Messages[Name]['type'] } & {
      readonly [Key in keyof Messages[Name]['fields']]: SentOf<Messages[Name]['fields'][Key]>;
    }
  : never;
type ValueOf<One> = One extends Field<infer Value, never> ? Value : never;
type SentOf<One> = One extends { emit(value: infer Sent, elements: never): unknown } ? Sent : never;

export type Message = MessageOf<MessageName>;
/** Takes a number of its sender's stream and is applied in that order. */
export type SequencedMessage = MessageOf<SequencedName>;
export type ControlMessage = MessageOf<ControlName>;

/** One handler for each of these messages. */
export type Handlers<Name extends MessageName, Context extends readonly unknown[], Outcome> = {
  readonly [One in Name]: (message: MessageOf<One>, ...context: Context) => Outcome;
};

interface Row<Type extends number, Sequenced extends boolean, Fields> {
  readonly type: Type;
  readonly sequenced: Sequenced;
  readonly fields: Fields;
}
// biome-ignore lint/suspicious/noExplicitAny: a field of any value; no other type both accepts and gives all of them
type Fields = Readonly<Record<string, Field<any, any>>>;

function sequenced<Type extends number, One extends Fields>(type: Type, fields: One): Row<Type, true, One> {
  return { type, sequenced: true, fields };
}

function control<Type extends number, One extends Fields>(type: Type, fields: One): Row<Type, false, One> {
  return { type, sequenced: false, fields };
}

const namesByType = new Map<number, MessageName>(
  Object.entries(messages).map(([name, { type }]) => [type, name as MessageName]),
);

export function isKnownType(type: number): type is DatagramType {
  return namesByType.has(type);
}

function nameOfType(type: DatagramType): MessageName {
  return namesByType.get(type)!;
}

/** Whether a message of this type takes a number of the stream. */
export function isSequenced(type: DatagramType): boolean {
  return messages[nameOfType(type)].sequenced;
}

export function isSequencedMessage(message: Message): message is SequencedMessage {
  return isSequenced(message.type);
}

/** Calls the handler of the message. */
export function handle<Name extends MessageName, Context extends readonly unknown[], Outcome>(
  handlers: Handlers<Name, Context, Outcome>,
  message: MessageOf<Name>,
  ...context: Context
): Outcome {
  const handler = handlers[nameOfType(message.type) as Name] as (one: MessageOf<Name>, ...rest: Context) => Outcome;
  return handler(message, ...context);
}
