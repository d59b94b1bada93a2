// SPDX-License-Identifier: Apache-2.0
import { readU16, readU32 } from '../lib/bytes.ts';
import { Ipv6Offset, ipv6HeaderLength } from './ipv6.ts';

/** Where the transport of an IPv6 packet stands. The caller reuses the object. */
export interface Ipv6Transport {
  /** The header that ends the chain: a transport, ESP, "no next header", or one that is not known. */
  protocol: number;
  /** Of that header. In a fragment other than the first: of the fragment's bytes. */
  offset: number;
  /** Whether there is a fragment header that makes the packet a piece of a larger one. */
  fragmented: boolean;
  /** Where the fragment's bytes begin, behind the fragment header. */
  fragmentStart: number;
  /** In bytes, a multiple of 8. */
  fragmentOffset: number;
  moreFragments: boolean;
  identification: number;
}

/**
 * `truncated`: a header goes past the packet. `extensionHeaders`: more headers than `headersMax`, hop-by-hop options
 * that are not first (RFC 8200 section 4.1), a second fragment header, or a source route that goes on from here.
 */
export type Ipv6ChainFault = 'truncated' | 'extensionHeaders';

const ExtensionHeader = {
  hopByHop: 0,
  routing: 43,
  fragment: 44,
  authentication: 51,
  destinationOptions: 60,
} as const;

/** RFC 8200 section 4.1 has seven at most in a packet; a longer chain only serves to hide the transport header. */
const headersMax = 8;
const segmentsLeftOffset = 3;
const fragmentOffsetMask = 0xfff8;

export function emptyIpv6Transport(): Ipv6Transport {
  return {
    protocol: 0,
    offset: 0,
    fragmented: false,
    fragmentStart: 0,
    fragmentOffset: 0,
    moreFragments: false,
    identification: 0,
  };
}

/**
 * Walks the extension headers of the packet whose fixed header stands at `ip` and whose bytes end at `end`, and fills
 * `found`. Returns a fault, or undefined. Reads nothing at or behind `end`.
 */
export function locateIpv6Transport(
  bytes: Uint8Array,
  ip: number,
  end: number,
  found: Ipv6Transport,
): Ipv6ChainFault | undefined {
  let next = bytes[ip + Ipv6Offset.nextHeader]!;
  let at = ip + ipv6HeaderLength;
  found.fragmented = false;
  for (let headers = 0; isExtension(next); headers += 1) {
    if (headers === headersMax) return 'extensionHeaders';
    if (at + 8 > end) return 'truncated';
    if (next === ExtensionHeader.hopByHop && headers > 0) return 'extensionHeaders';
    if (next === ExtensionHeader.routing && bytes[at + segmentsLeftOffset] !== 0) return 'extensionHeaders';
    const length = extensionLength(next, bytes[at + 1]!);
    if (at + length > end) return 'truncated';
    if (next === ExtensionHeader.fragment) {
      if (found.fragmented) return 'extensionHeaders';
      readFragment(bytes, at, found);
    }
    next = bytes[at]!;
    at += length;
    // The bytes that follow in a later fragment are not a header.
    if (found.fragmented && found.fragmentOffset > 0) break;
  }
  found.protocol = next;
  found.offset = at;
  return undefined;
}

function isExtension(header: number): boolean {
  return (
    header === ExtensionHeader.hopByHop ||
    header === ExtensionHeader.routing ||
    header === ExtensionHeader.fragment ||
    header === ExtensionHeader.authentication ||
    header === ExtensionHeader.destinationOptions
  );
}

/** Lengths count 8 bytes beyond the first 8; of the authentication header (RFC 4302 section 2.2) 4 beyond the first 8. */
function extensionLength(header: number, lengthField: number): number {
  if (header === ExtensionHeader.fragment) return 8;
  if (header === ExtensionHeader.authentication) return (lengthField + 2) << 2;
  return (lengthField + 1) << 3;
}

/** A fragment header with offset 0 and nothing to follow makes an ordinary packet (RFC 6946). */
function readFragment(bytes: Uint8Array, at: number, found: Ipv6Transport): void {
  const field = readU16(bytes, at + 2);
  found.fragmentOffset = field & fragmentOffsetMask;
  found.moreFragments = (field & 1) === 1;
  found.identification = readU32(bytes, at + 4);
  found.fragmentStart = at + 8;
  found.fragmented = found.fragmentOffset > 0 || found.moreFragments;
}
