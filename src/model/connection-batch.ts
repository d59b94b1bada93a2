// SPDX-License-Identifier: Apache-2.0
import { type Family, type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../lib/ip-address.ts';
import type { ConnectionEntry } from './connection.ts';
import { methodByNumber } from './forwarding-method.ts';
import { ConnectionEvent, RecordOffset, recordHeadFields, recordWords } from './record-layout.ts';
import { tcpStateNames } from './tcp-state.ts';
import { protocolNumbers, type TransportProtocol } from './virtual-service.ts';

export { ConnectionEvent, RecordOffset, recordWords };

// Connection entries packed into one Int32Array, `recordWords` words each: the form in which they cross threads and
// engines without an object per entry. A record is
//
//     word  0      head: event, second class, protocol number, state, IPv6, local, forwarding method, template
//     word  1      client port << 16 | virtual port
//     word  2      real server port
//     word  3      milliseconds since the connection's last packet
//     word  4      timeout of its state in milliseconds
//     words 5..8   client address, words 9..12 virtual address, words 13..16 real server address
//
// A connection template stands for a client prefix: its client address is the prefix, its client port 0.
// An address is four big-endian words; IPv4 uses the first and leaves the others zero.
//
// The head is packed and unpacked here and nowhere else.

export interface RecordHead {
  readonly event: ConnectionEvent;
  readonly protocol: number;
  readonly state: number;
  readonly family: Family;
  readonly local: boolean;
  /** `MethodRecord.number`. */
  readonly forwardingMethod: number;
  /** A connection template (persistence). Absent: false. */
  readonly template?: boolean;
  /** An established TCP connection that has carried no data. Absent: false. */
  readonly secondClass?: boolean;
}

const {
  event: eventField,
  protocol: protocolField,
  state: stateField,
  forwardingMethod: methodField,
} = recordHeadFields;

// Plain numbers, which V8 compiles into the code of every packet.
const eventMask = maskOf(eventField.bits);
const protocolShift: number = protocolField.shift;
const protocolMask = maskOf(protocolField.bits);
const stateShift: number = stateField.shift;
const stateMask = maskOf(stateField.bits);
const methodShift: number = methodField.shift;
const methodMask = maskOf(methodField.bits);
const usedBits = Math.max(...Object.values(recordHeadFields).map(({ shift, bits }) => shift + bits));

/** Bits of a head that stand alone. */
export const RecordFlag = {
  /** An established TCP connection that has carried no data. */
  secondClass: 1 << recordHeadFields.secondClass.shift,
  ipv6: 1 << recordHeadFields.ipv6.shift,
  /** The director that packed the record forwards the connection. */
  local: 1 << recordHeadFields.local.shift,
  /** A connection template (persistence). */
  template: 1 << recordHeadFields.template.shift,
} as const;

/** Together with the ports and the addresses of client and service these bits identify an entry. */
const keyMask = (protocolMask << protocolShift) | RecordFlag.ipv6 | RecordFlag.template;

/** A head from its parts. `flags`: of `RecordFlag`; `method`: its `MethodRecord.number`. */
export function headWord(
  event: ConnectionEvent,
  protocol: number,
  state: number,
  method: number,
  flags: number,
): number {
  return event | (protocol << protocolShift) | (state << stateShift) | (method << methodShift) | flags;
}

export function eventOf(head: number): ConnectionEvent {
  return (head & eventMask) as ConnectionEvent;
}

/** The IANA protocol number. */
export function protocolOf(head: number): number {
  return (head >>> protocolShift) & protocolMask;
}

/** A `TcpState`, 0 for UDP and templates. */
export function stateOf(head: number): number {
  return (head >>> stateShift) & stateMask;
}

/** `MethodRecord.number`. */
export function methodOf(head: number): number {
  return (head >>> methodShift) & methodMask;
}

/** The part of a head that belongs to the entry's key: protocol, family, and whether it is a template. */
export function headKeyOf(head: number): number {
  return head & keyMask;
}

export function withEvent(head: number, event: ConnectionEvent): number {
  return (head & ~eventMask) | event;
}

export function withState(head: number, state: number): number {
  return (head & ~(stateMask << stateShift)) | (state << stateShift);
}

export function packHead(head: RecordHead): number {
  const { event, protocol, state, forwardingMethod } = head;
  const flags =
    (head.family === 'ipv6' ? RecordFlag.ipv6 : 0) |
    (head.local ? RecordFlag.local : 0) |
    (head.template === true ? RecordFlag.template : 0) |
    (head.secondClass === true ? RecordFlag.secondClass : 0);
  return headWord(event, protocol, state, forwardingMethod, flags);
}

/** The inverse of `packHead`. The caller has validated the word: see `isValidHead`. */
export function unpackHead(word: number): RecordHead {
  return {
    event: eventOf(word),
    protocol: protocolOf(word),
    state: stateOf(word),
    family: (word & RecordFlag.ipv6) !== 0 ? 'ipv6' : 'ipv4',
    local: (word & RecordFlag.local) !== 0,
    forwardingMethod: methodOf(word),
    template: (word & RecordFlag.template) !== 0,
    ...((word & RecordFlag.secondClass) === 0 ? {} : { secondClass: true }),
  };
}

/**
 * Whether a head that came from outside holds only values that exist. Written out, because it is part of the decoding of
 * every entry, where V8 inlines only so much.
 */
export function isValidHead(word: number): boolean {
  const event = word & eventMask;
  const protocol = (word >>> protocolShift) & protocolMask;
  return (
    event >= ConnectionEvent.upsert &&
    event <= ConnectionEvent.remove &&
    (protocol === protocolNumbers.tcp || protocol === protocolNumbers.udp) &&
    ((word >>> stateShift) & stateMask) < tcpStateNames.length &&
    methodByNumber((word >>> methodShift) & methodMask) !== undefined &&
    word >>> usedBits === 0
  );
}

function maskOf(bits: number): number {
  return (1 << bits) - 1;
}

/** Writes an address into four words of a record. */
export function writeAddressWords(words: Int32Array, offset: number, address: IpAddress): void {
  const bytes = ipAddressBytes(address);
  for (let i = 0; i < 4; i += 1) {
    const at = i * 4;
    words[offset + i] =
      at < bytes.length ? (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]! : 0;
  }
}

function readAddressWords(words: Int32Array, offset: number, family: Family): IpAddress {
  const bytes = new Uint8Array(family === 'ipv6' ? 16 : 4);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = words[offset + (i >> 2)]! >>> (24 - 8 * (i & 3));
  return ipAddressFromBytes(bytes);
}

/** The record at `index` of a batch as an object, for people. */
export function describeRecord(batch: Int32Array, index: number): ConnectionEntry {
  const at = index * recordWords;
  const head = unpackHead(batch[at]!);
  const ports = batch[at + RecordOffset.ports]!;
  return {
    family: head.family,
    protocol: protocolName(head.protocol),
    clientAddress: readAddressWords(batch, at + RecordOffset.clientAddress, head.family),
    clientPort: ports >>> 16,
    virtualAddress: readAddressWords(batch, at + RecordOffset.virtualAddress, head.family),
    virtualPort: ports & 0xffff,
    realAddress: readAddressWords(batch, at + RecordOffset.realAddress, head.family),
    realPort: batch[at + RecordOffset.realPort]!,
    forwardingMethod: methodByNumber(head.forwardingMethod)!.name,
    ...(head.template === true ? { template: true } : {}),
    ...(head.secondClass === true ? { secondClass: true } : {}),
    state: head.protocol === protocolNumbers.tcp ? (tcpStateNames[head.state] ?? 'NONE') : 'UDP',
    expiresInMs: Math.max(0, batch[at + RecordOffset.timeoutMs]! - batch[at + RecordOffset.idleMs]!),
    local: head.local,
  };
}

function protocolName(number: number): TransportProtocol {
  return number === protocolNumbers.udp ? 'udp' : number === protocolNumbers.sctp ? 'sctp' : 'tcp';
}
