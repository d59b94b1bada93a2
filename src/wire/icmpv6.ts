// SPDX-License-Identifier: Apache-2.0
import { readU32, writeU16 } from '../lib/bytes.ts';
import { addToSum, foldSum } from '../lib/checksum.ts';
import { accept, type Result, reject } from '../lib/result.ts';
import { type IcmpFault, type IcmpMessage, IcmpOffset, icmpHeaderLength } from './icmp.ts';
import { IpProtocol } from './ipv4.ts';
import { ipv6PseudoHeaderSum } from './ipv6.ts';

// ICMPv6 (RFC 4443). The message is laid out as in IPv4 (`IcmpOffset`), its checksum covers a pseudo-header.

export const Icmpv6Type = {
  destinationUnreachable: 1,
  packetTooBig: 2,
  timeExceeded: 3,
  parameterProblem: 4,
  echoRequest: 128,
  echoReply: 129,
  neighbourSolicitation: 135,
  neighbourAdvertisement: 136,
} as const;
export const Icmpv6Code = { portUnreachable: 4, hopLimitExceeded: 0 } as const;

/** `ip` is the offset of the IPv6 header, `offset` and `length` those of the message. */
export function checkIcmpv6(bytes: Uint8Array, ip: number, offset: number, length: number): IcmpFault | undefined {
  if (length < icmpHeaderLength) return 'truncated';
  const pseudoHeader = ipv6PseudoHeaderSum(bytes, ip, length, IpProtocol.icmpv6);
  return foldSum(addToSum(pseudoHeader, bytes, offset, length)) === 0xffff ? undefined : 'badChecksum';
}

/** RFC 4443 section 2.1: error messages have the high bit of the type clear. */
export function isIcmpv6Error(type: number): boolean {
  return type < 128;
}

/** The payload is a view of `bytes`. */
export function parseIcmpv6(
  bytes: Uint8Array,
  ip: number,
  offset: number,
  length: number,
): Result<IcmpMessage, IcmpFault> {
  const fault = checkIcmpv6(bytes, ip, offset, length);
  if (fault !== undefined) return reject(fault);
  return accept({
    type: bytes[offset + IcmpOffset.type]!,
    code: bytes[offset + IcmpOffset.code]!,
    rest: readU32(bytes, offset + IcmpOffset.rest),
    payload: bytes.subarray(offset + IcmpOffset.payload, offset + length),
  });
}

/** Computes the checksum from the bytes and writes it. */
export function writeIcmpv6Checksum(bytes: Uint8Array, ip: number, offset: number, length: number): void {
  writeU16(bytes, offset + IcmpOffset.checksum, 0);
  const pseudoHeader = ipv6PseudoHeaderSum(bytes, ip, length, IpProtocol.icmpv6);
  writeU16(bytes, offset + IcmpOffset.checksum, foldSum(addToSum(pseudoHeader, bytes, offset, length)) ^ 0xffff);
}
