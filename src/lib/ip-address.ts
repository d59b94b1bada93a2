// SPDX-License-Identifier: Apache-2.0
import { isIPv4, isIPv6 } from 'node:net';

/** An address family, as in `AF_INET` and `AF_INET6`. */
export type Family = 'ipv4' | 'ipv6';

/**
 * An IP address in its one canonical text form: dotted decimal, or RFC 5952 for IPv6. Two addresses are the same
 * exactly when the strings are, so it serves as a map key.
 */
export type IpAddress = string & { readonly __brand: 'IpAddress' };

/** Parses either family. Returns `undefined` for anything else, such as an address with a zone index (`%eth0`). */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (isIPv4(text)) return text as IpAddress;
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return ipAddressFromBytes(parseIpv6(text));
}

export function familyOf(address: IpAddress): Family {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

/** True for `fe80::/10`, where an address is ambiguous without an interface. */
export function isLinkLocal(address: IpAddress): boolean {
  return /^fe[89ab][0-9a-f]:/.test(address);
}

/** The address in network byte order: 4 bytes, or 16 for IPv6. */
export function ipAddressBytes(address: IpAddress): Uint8Array {
  if (familyOf(address) === 'ipv6') return parseIpv6(address);
  return parseIpv4(address);
}

/** From 4 or 16 bytes in network byte order, starting at `offset`. Any other length is a programming error. */
export function ipAddressFromBytes(bytes: Uint8Array, offset = 0, length = bytes.length - offset): IpAddress {
  if (length === 4) {
    return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}` as IpAddress;
  }
  if (length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${length}`);
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[offset + 2 * i]! << 8) | bytes[offset + 2 * i + 1]!);
  return formatIpv6(groups);
}

/** Unsigned byte order, as VRRP compares primary addresses (RFC 9568 section 6.4.3). IPv4 sorts before IPv6. */
export function compareIpAddresses(a: IpAddress, b: IpAddress): number {
  const left = ipAddressBytes(a);
  const right = ipAddressBytes(b);
  if (left.length !== right.length) return left.length - right.length;
  for (let i = 0; i < left.length; i += 1) {
    if (left[i] !== right[i]) return left[i]! - right[i]!;
  }
  return 0;
}

/** Digit by digit: whole routing tables pass through here, and `split` costs ten times as much. */
function parseIpv4(text: string): Uint8Array {
  const bytes = new Uint8Array(4);
  let at = 0;
  for (let i = 0; i < text.length; i += 1) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0) at += 1;
    else bytes[at] = bytes[at]! * 10 + digit;
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const [head = '', tail] = text.split('::');
  const left = groupsOf(head);
  const right = tail === undefined ? [] : groupsOf(tail);
  const groups = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  for (const [i, group] of groups.entries()) {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 0xff;
  }
  return bytes;
}

function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

function formatIpv6(groups: readonly number[]): IpAddress {
  // RFC 5952 section 4.2: the longest run of two or more zero groups, the first of equals, becomes "::".
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.start < 0) return hex.join(':') as IpAddress;
  return `${hex.slice(0, best.start).join(':')}::${hex.slice(best.start + best.length).join(':')}` as IpAddress;
}
