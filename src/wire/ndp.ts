// SPDX-License-Identifier: Apache-2.0
import { writeU16, writeU32 } from '../lib/bytes.ts';
import { type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../lib/ip-address.ts';
import { accept, type Result, reject } from '../lib/result.ts';
import { macAddressLength } from './ethernet.ts';
import { checkIcmpv6, Icmpv6Type, writeIcmpv6Checksum } from './icmpv6.ts';
import { Ipv6Offset } from './ipv6.ts';

/** A neighbour solicitation (RFC 4861 section 4.3). */
export interface NeighbourSolicitation {
  readonly target: IpAddress;
  /** The source link-layer option, if any: 6 bytes, a view of the message. */
  readonly sourceMac: Uint8Array | undefined;
}

/** A neighbour advertisement (RFC 4861 section 4.4) with the target link-layer option. */
export interface NeighbourAdvertisement {
  readonly target: IpAddress;
  /** 6 bytes. */
  readonly targetMac: Uint8Array;
  /** The sender is a router: hosts keep it in their list of routers. */
  readonly router: boolean;
  /** It answers a solicitation. */
  readonly solicited: boolean;
  /** Replaces what the receiver has cached. */
  readonly override: boolean;
}

/**
 * `hopLimit`: not 255, so it has come through a router and is forged. `malformed`: a code, a length, an option or a
 * combination of addresses that RFC 4861 section 7.1.1 forbids.
 */
export type NdpFault = 'truncated' | 'badChecksum' | 'hopLimit' | 'malformed';

/** Byte offsets from the first byte of a solicitation or an advertisement. */
export const NdpOffset = { type: 0, code: 1, checksum: 2, flags: 4, target: 8, options: 24 } as const;
/** In byte 4 of an advertisement. */
export const NeighbourFlag = { router: 0x80, solicited: 0x40, override: 0x20 } as const;
/** Of every message of neighbour discovery. */
export const ndpHopLimit = 255;

const OptionType = { sourceLinkLayer: 1, targetLinkLayer: 2 } as const;
const linkLayerOptionLength = 8;
const advertisementLength = NdpOffset.options + linkLayerOptionLength;

/**
 * Undefined for a solicitation that RFC 4861 section 7.1.1 lets pass. `ip` is the offset of the IPv6 header, which has
 * been checked, `offset` and `length` those of the message.
 */
export function checkNeighbourSolicitation(
  bytes: Uint8Array,
  ip: number,
  offset: number,
  length: number,
): NdpFault | undefined {
  if (length < NdpOffset.options) return 'truncated';
  if (bytes[ip + Ipv6Offset.hopLimit] !== ndpHopLimit) return 'hopLimit';
  const fault = checkIcmpv6(bytes, ip, offset, length);
  if (fault !== undefined) return fault;
  if (bytes[offset + NdpOffset.code] !== 0 || bytes[offset + NdpOffset.target] === 0xff) return 'malformed';
  // No host sends from a multicast address.
  if (bytes[ip + Ipv6Offset.source] === 0xff) return 'malformed';
  const sourceMac = findOption(bytes, offset, length, OptionType.sourceLinkLayer);
  if (sourceMac === malformedOptions) return 'malformed';
  if (!isUnspecifiedIpv6(bytes, ip + Ipv6Offset.source)) return undefined;
  // Duplicate address detection: to the solicited-node group, and without an address to answer to.
  const toGroup = isSolicitedNode(bytes, ip + Ipv6Offset.destination);
  return toGroup && sourceMac === noOption ? undefined : 'malformed';
}

/** Whether the 16 bytes at `offset` are ::, the source of duplicate address detection. */
export function isUnspecifiedIpv6(bytes: Uint8Array, offset: number): boolean {
  for (let i = 0; i < 16; i += 1) if (bytes[offset + i] !== 0) return false;
  return true;
}

/** Whether the 16 bytes at `offset` lie in ff02::1:ff00:0/104 (RFC 4291 section 2.7.1). */
export function isSolicitedNode(bytes: Uint8Array, offset: number): boolean {
  if (bytes[offset] !== 0xff || bytes[offset + 1] !== 0x02) return false;
  for (let i = 2; i < 11; i += 1) if (bytes[offset + i] !== 0) return false;
  return bytes[offset + 11] === 1 && bytes[offset + 12] === 0xff;
}

export function parseNeighbourSolicitation(
  bytes: Uint8Array,
  ip: number,
  offset: number,
  length: number,
): Result<NeighbourSolicitation, NdpFault> {
  const fault = checkNeighbourSolicitation(bytes, ip, offset, length);
  if (fault !== undefined) return reject(fault);
  if (bytes[offset] !== Icmpv6Type.neighbourSolicitation) return reject('malformed');
  const option = findOption(bytes, offset, length, OptionType.sourceLinkLayer);
  return accept({
    target: ipAddressFromBytes(bytes, offset + NdpOffset.target, 16),
    sourceMac: option === noOption ? undefined : bytes.subarray(option + 2, option + 2 + macAddressLength),
  });
}

export function neighbourAdvertisementLength(): number {
  return advertisementLength;
}

/** The IPv6 header at `ip` holds its addresses already. Returns the offset behind the message. */
export function emitNeighbourAdvertisement(
  message: NeighbourAdvertisement,
  buffer: Uint8Array,
  ip: number,
  offset: number,
): number {
  writeU16(buffer, offset, Icmpv6Type.neighbourAdvertisement << 8);
  const flags =
    (message.router ? NeighbourFlag.router : 0) |
    (message.solicited ? NeighbourFlag.solicited : 0) |
    (message.override ? NeighbourFlag.override : 0);
  writeU32(buffer, offset + NdpOffset.flags, flags << 24);
  buffer.set(ipAddressBytes(message.target), offset + NdpOffset.target);
  writeTargetOption(buffer, offset, message.targetMac);
  writeIcmpv6Checksum(buffer, ip, offset, advertisementLength);
  return offset + advertisementLength;
}

/** The target link-layer option of an advertisement that stands at `offset`. */
export function writeTargetOption(buffer: Uint8Array, offset: number, mac: Uint8Array): void {
  buffer[offset + NdpOffset.options] = OptionType.targetLinkLayer;
  buffer[offset + NdpOffset.options + 1] = linkLayerOptionLength / 8;
  for (let i = 0; i < macAddressLength; i += 1) buffer[offset + NdpOffset.options + 2 + i] = mac[i]!;
}

const noOption = -1;
const malformedOptions = -2;

/** The offset of the first option of a type. Every option's length is checked: none is zero, none passes the end. */
function findOption(bytes: Uint8Array, offset: number, length: number, type: number): number {
  const end = offset + length;
  let found = noOption;
  for (let at = offset + NdpOffset.options; at < end; ) {
    if (at + 2 > end) return malformedOptions;
    const optionLength = bytes[at + 1]! * 8;
    if (optionLength === 0 || at + optionLength > end) return malformedOptions;
    if (found === noOption && bytes[at] === type) found = at;
    at += optionLength;
  }
  return found;
}
