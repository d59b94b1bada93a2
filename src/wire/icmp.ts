// SPDX-License-Identifier: Apache-2.0

import { readU32, writeU16, writeU32 } from '../lib/bytes.ts';
import { addToSum, foldSum, internetChecksum } from '../lib/checksum.ts';
import { accept, type Result, reject } from '../lib/result.ts';

/** An ICMP message (RFC 792). The checksum is computed when it is emitted. */
export interface IcmpMessage {
  readonly type: number;
  readonly code: number;
  /** The second word: identifier and sequence number of an echo, the next-hop MTU of "fragmentation needed", else 0. */
  readonly rest: number;
  readonly payload: Uint8Array;
}

export type IcmpFault = 'truncated' | 'badChecksum';

/** Byte offsets from the message's first byte. */
export const IcmpOffset = { type: 0, code: 1, checksum: 2, rest: 4, payload: 8 } as const;

export const icmpHeaderLength = 8;
export const IcmpType = {
  echoReply: 0,
  destinationUnreachable: 3,
  sourceQuench: 4,
  redirect: 5,
  echoRequest: 8,
  timeExceeded: 11,
  parameterProblem: 12,
} as const;
export const IcmpCode = { portUnreachable: 3, fragmentationNeeded: 4, ttlExceeded: 0 } as const;

/** Undefined for a message that may be read by `IcmpOffset` and whose checksum holds. */
export function checkIcmp(bytes: Uint8Array, offset: number, length: number): IcmpFault | undefined {
  if (length < icmpHeaderLength) return 'truncated';
  return foldSum(addToSum(0, bytes, offset, length)) === 0xffff ? undefined : 'badChecksum';
}

/** Whether a message of this type quotes a packet that met a problem: never answered by another (RFC 1122 section 3.2.2). */
export function isIcmpError(type: number): boolean {
  return (
    type === IcmpType.destinationUnreachable ||
    type === IcmpType.sourceQuench ||
    type === IcmpType.redirect ||
    type === IcmpType.timeExceeded ||
    type === IcmpType.parameterProblem
  );
}

/** The payload is a view of `bytes`. */
export function parseIcmp(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Result<IcmpMessage, IcmpFault> {
  const fault = checkIcmp(bytes, offset, length);
  if (fault !== undefined) return reject(fault);
  return accept({
    type: bytes[offset + IcmpOffset.type]!,
    code: bytes[offset + IcmpOffset.code]!,
    rest: readU32(bytes, offset + IcmpOffset.rest),
    payload: bytes.subarray(offset + IcmpOffset.payload, offset + length),
  });
}

export function icmpLength(message: Pick<IcmpMessage, 'payload'>): number {
  return icmpHeaderLength + message.payload.length;
}

/** Returns the offset behind the message. */
export function emitIcmp(message: IcmpMessage, buffer: Uint8Array, offset: number): number {
  const length = icmpLength(message);
  buffer[offset + IcmpOffset.type] = message.type;
  buffer[offset + IcmpOffset.code] = message.code;
  writeU16(buffer, offset + IcmpOffset.checksum, 0);
  writeU32(buffer, offset + IcmpOffset.rest, message.rest);
  buffer.set(message.payload, offset + IcmpOffset.payload);
  writeU16(buffer, offset + IcmpOffset.checksum, internetChecksum(buffer, offset, length));
  return offset + length;
}
