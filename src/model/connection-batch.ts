// SPDX-License-Identifier: Apache-2.0
import { type Family, type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../lib/ip-address.ts';
import type { ConnectionEntry } from './connection.ts';
import { tcpStateNames } from './tcp-state.ts';
import { type ForwardingMethod, protocolNumbers, type TransportProtocol } from './virtual-service.ts';

/**
 * Connection entries packed into one Int32Array, `recordWords` words each: the form in which they cross threads and
 * engines without an object per entry. A record is
 *
 *     word  0      bits 0..7 event, 8..15 protocol number, 16..23 state, 24 IPv6, 25 local, 26..27 forwarding method,
 *                  28 template
 *     word  1      client port << 16 | virtual port
 *     word  2      real server port
 *     word  3      milliseconds since the connection's last packet
 *     word  4      timeout of its state in milliseconds
 *     words 5..8   client address, words 9..12 virtual address, words 13..16 real server address
 *
 * A connection template stands for a client prefix: its client address is the prefix, its client port 0.
 * An address is four big-endian words; IPv4 uses the first and leaves the others zero.
 */
export const recordWords = 17;

/** What happened to a connection. `refresh` is an upsert that only says: still alive. */
export const ConnectionEvent = { upsert: 1, refresh: 2, remove: 3 } as const;
export type ConnectionEvent = (typeof ConnectionEvent)[keyof typeof ConnectionEvent];

export const RecordOffset = {
  head: 0,
  ports: 1,
  realPort: 2,
  idleMs: 3,
  timeoutMs: 4,
  clientAddress: 5,
  virtualAddress: 9,
  realAddress: 13,
} as const;

/** The forwarding method in two bits. */
export const forwardingMethods = [
  'masquerade',
  'direct-route',
  'tunnel',
] as const satisfies readonly ForwardingMethod[];

export interface RecordHead {
  readonly event: ConnectionEvent;
  readonly protocol: number;
  readonly state: number;
  readonly family: Family;
  readonly local: boolean;
  /** Index into `forwardingMethods`. */
  readonly forwardingMethod: number;
  /** A connection template (persistence). Absent: false. */
  readonly template?: boolean;
}

export function packHead(head: RecordHead): number {
  return (
    head.event |
    (head.protocol << 8) |
    (head.state << 16) |
    ((head.family === 'ipv6' ? 1 : 0) << 24) |
    ((head.local ? 1 : 0) << 25) |
    (head.forwardingMethod << 26) |
    ((head.template === true ? 1 : 0) << 28)
  );
}

/** The inverse of `packHead`. The caller has validated the word: see `isValidHead`. */
export function unpackHead(word: number): RecordHead {
  return {
    event: (word & 0xff) as ConnectionEvent,
    protocol: (word >>> 8) & 0xff,
    state: (word >>> 16) & 0xff,
    family: ((word >>> 24) & 1) === 1 ? 'ipv6' : 'ipv4',
    local: ((word >>> 25) & 1) === 1,
    forwardingMethod: (word >>> 26) & 3,
    template: ((word >>> 28) & 1) === 1,
  };
}

/** Whether a head that came from outside holds only values that exist. */
export function isValidHead(word: number): boolean {
  const event = word & 0xff;
  const protocol = (word >>> 8) & 0xff;
  const state = (word >>> 16) & 0xff;
  return (
    event >= ConnectionEvent.upsert &&
    event <= ConnectionEvent.remove &&
    (protocol === protocolNumbers.tcp || protocol === protocolNumbers.udp) &&
    state < tcpStateNames.length &&
    ((word >>> 26) & 3) < forwardingMethods.length &&
    word >>> 29 === 0
  );
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

export function readAddressWords(words: Int32Array, offset: number, family: Family): IpAddress {
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
    forwardingMethod: forwardingMethods[head.forwardingMethod] ?? 'masquerade',
    ...(head.template === true ? { template: true } : {}),
    state: head.protocol === protocolNumbers.tcp ? (tcpStateNames[head.state] ?? 'NONE') : 'UDP',
    expiresInMs: Math.max(0, batch[at + RecordOffset.timeoutMs]! - batch[at + RecordOffset.idleMs]!),
    local: head.local,
  };
}

function protocolName(number: number): TransportProtocol {
  return number === protocolNumbers.udp ? 'udp' : number === protocolNumbers.sctp ? 'sctp' : 'tcp';
}
