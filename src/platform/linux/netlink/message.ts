// SPDX-License-Identifier: Apache-2.0
import { accept, type Result, reject } from '../../../lib/result.ts';

// linux/netlink.h. Everything is in host byte order, which is little-endian on both supported architectures.

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** The bytes after the header: a family's fixed structure, then attributes. */
  readonly payload: Uint8Array;
}

/** By attribute number; the last one with a number wins, as in the kernel. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

export type NetlinkParseReason = 'headerTruncated' | 'lengthOutOfBounds';

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

// struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid; }, struct nlattr { u16 len; u16 type; }
const headerLength = 16;
const attributeHeaderLength = 4;
/** Masks NLA_F_NESTED and NLA_F_NET_BYTEORDER out of an attribute's type. */
const attributeTypeMask = 0x3fff;

/** All messages of one datagram. Payloads are views of `bytes`. */
export function parseNetlinkMessages(bytes: Uint8Array): Result<NetlinkMessage[], NetlinkParseReason> {
  const view = viewOf(bytes);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < headerLength) return reject('headerTruncated');
    const length = view.getUint32(at, true);
    if (length < headerLength || length > bytes.length - at) return reject('lengthOutOfBounds');
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      payload: bytes.subarray(at + headerLength, at + length),
    });
    at += align(length);
  }
  return accept(messages);
}

/** The attributes from `offset` on. Values are views of `bytes`. */
export function parseAttributes(bytes: Uint8Array, offset: number): Result<Attributes, NetlinkParseReason> {
  const view = viewOf(bytes);
  const attributes = new Map<number, Uint8Array>();
  for (let at = offset; at < bytes.length; ) {
    if (bytes.length - at < attributeHeaderLength) return reject('headerTruncated');
    const length = view.getUint16(at, true);
    if (length < attributeHeaderLength || length > bytes.length - at) return reject('lengthOutOfBounds');
    const type = view.getUint16(at + 2, true) & attributeTypeMask;
    attributes.set(type, bytes.subarray(at + attributeHeaderLength, at + length));
    at += align(length);
  }
  return accept(attributes);
}

export function netlinkMessageLength(fixed: Uint8Array, attributes: Iterable<readonly [number, Uint8Array]>): number {
  let length = headerLength + align(fixed.length);
  for (const [, value] of attributes) length += align(attributeHeaderLength + value.length);
  return length;
}

/** Writes one message at `offset`; returns its length. The port id stays 0: the kernel fills it in. */
export function emitNetlinkMessage(
  message: { type: number; flags: number; sequence: number; fixed: Uint8Array },
  attributes: ReadonlyArray<readonly [number, Uint8Array]>,
  buffer: Uint8Array,
  offset: number,
): number {
  const length = netlinkMessageLength(message.fixed, attributes);
  const view = new DataView(buffer.buffer, buffer.byteOffset + offset, length);
  buffer.fill(0, offset, offset + length);
  view.setUint32(0, length, true);
  view.setUint16(4, message.type, true);
  view.setUint16(6, message.flags, true);
  view.setUint32(8, message.sequence, true);
  buffer.set(message.fixed, offset + headerLength);
  let at = headerLength + align(message.fixed.length);
  for (const [type, value] of attributes) {
    view.setUint16(at, attributeHeaderLength + value.length, true);
    view.setUint16(at + 2, type, true);
    buffer.set(value, offset + at + attributeHeaderLength);
    at += align(attributeHeaderLength + value.length);
  }
  return length;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** NLMSG_ALIGN and NLA_ALIGN: rounds up to 4 bytes. */
export function align(length: number): number {
  return (length + 3) & ~3;
}
