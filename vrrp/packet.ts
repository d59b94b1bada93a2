// SPDX-License-Identifier: Apache-2.0
import { readU16, writeU16 } from '../src/lib/bytes.ts';
import { addToSum, foldSum } from '../src/lib/checksum.ts';
import { familyOf, type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../src/lib/ip-address.ts';
import { accept, type Result, reject } from '../src/lib/result.ts';
import type { ChecksumForm } from '../src/model/virtual-router.ts';

// Version 3 (RFC 9568 section 5.1):
//
//   0                   1                   2                   3
//   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//  +-------+-------+---------------+---------------+---------------+
//  |version| type  |     VRID      |   priority    | address count |
//  +-------+-------+---------------+---------------+---------------+
//  | rsvd  | max advertise interval|           checksum            |   interval in centiseconds
//  +-------+-----------------------+-------------------------------+
//  |              addresses, 4 or 16 bytes each                    |
//
// Version 2 (RFC 3768 section 5.1), IPv4 only:
//
//  +-------+-------+---------------+---------------+---------------+
//  |version| type  |     VRID      |   priority    | address count |
//  +-------+-------+---------------+---------------+---------------+
//  |   auth type   |   interval    |           checksum            |   interval in seconds
//  +---------------+---------------+-------------------------------+
//  |                   addresses, 4 bytes each                     |
//  |                authentication data, 8 bytes                   |

export interface Advertisement {
  readonly version: 2 | 3;
  /** 1..255 when sent; unchecked when parsed. */
  readonly vrid: number;
  /** 0: the sender resigns. 255: it owns the addresses. */
  readonly priority: number;
  /** Milliseconds: version 3 carries multiples of 10 up to 40950, version 2 multiples of 1000 up to 255000. */
  readonly intervalMs: number;
  /** Version 2: 0 none; other types are obsolete (RFC 3768 section 5.3.6). Version 3: 0. */
  readonly authenticationType: number;
  /** All of one family, in the sender's order. */
  readonly addresses: readonly IpAddress[];
}

/** The addresses of the IP header that carries a message: the pseudo-header sums them. */
export interface Endpoints {
  readonly source: IpAddress;
  readonly destination: IpAddress;
}

/** The reasons why bytes are not an advertisement, in the order of the checks. */
export const packetRejections = [
  'too-short',
  'version-unsupported',
  'type-unknown',
  'incomplete',
  'trailing-bytes',
  'checksum',
] as const;
export type PacketRejection = (typeof packetRejections)[number];

const vrrpProtocol = 112;

const headerLength = 8;
const authenticationLength = 8;
const typeAdvertisement = 1;
const checksumOffset = 6;

/** Bytes on the wire, IP header excluded. */
export function advertisementLength(advertisement: Advertisement): number {
  const first = advertisement.addresses[0];
  const addressLength = first === undefined ? 4 : ipAddressBytes(first).length;
  return messageLength(advertisement.version, advertisement.addresses.length, addressLength);
}

/**
 * Writes an advertisement and its checksum. Returns the offset behind it. The caller has validated the values: one that
 * does not fit its field is a RangeError. Does not check that an IPv6 list begins with a link-local address
 * (RFC 9568 section 5.2.9).
 */
export function emitAdvertisement(
  advertisement: Advertisement,
  endpoints: Endpoints,
  buffer: Uint8Array,
  offset = 0,
  form: ChecksumForm = 'pseudo-header',
): number {
  const { version, vrid, priority, addresses } = advertisement;
  const end = offset + advertisementLength(advertisement);
  if (end > buffer.length) throw new RangeError(`an advertisement of ${end - offset} bytes does not fit the buffer`);
  buffer[offset] = (version << 4) | typeAdvertisement;
  buffer[offset + 1] = byteField('VRID', vrid);
  buffer[offset + 2] = byteField('priority', priority);
  buffer[offset + 3] = byteField('address count', addresses.length);
  emitInterval(advertisement, buffer, offset + 4);
  writeU16(buffer, offset + checksumOffset, 0);
  let at = offset + headerLength;
  for (const address of addresses) {
    const bytes = ipAddressBytes(address);
    buffer.set(bytes, at);
    at += bytes.length;
  }
  if (version === 2) buffer.fill(0, at, end);
  const message = buffer.subarray(offset, end);
  writeU16(buffer, offset + checksumOffset, checksumOf(message, version, endpoints, form));
  return end;
}

/**
 * Reads one message without its IP header. Accepts both checksum forms of version 3 over IPv4. Ignores the reserved
 * bits (RFC 9568 section 5.2.6). Does not check the TTL, or anything that needs the local configuration: ladder.ts
 * does.
 */
export function parseAdvertisement(bytes: Uint8Array, endpoints: Endpoints): Result<Advertisement, PacketRejection> {
  if (bytes.length < headerLength) return reject('too-short');
  const version = bytes[0]! >> 4;
  const addressLength = familyOf(endpoints.source) === 'ipv6' ? 16 : 4;
  // RFC 3768 is for IPv4 only: version 2 does not exist over IPv6.
  if (version !== 3 && !(version === 2 && addressLength === 4)) return reject('version-unsupported');
  if ((bytes[0]! & 0x0f) !== typeAdvertisement) return reject('type-unknown');
  const addressCount = bytes[3]!;
  const length = messageLength(version, addressCount, addressLength);
  if (bytes.length < length) return reject('incomplete');
  if (bytes.length > length) return reject('trailing-bytes');
  if (!checksumHolds(bytes, version, endpoints)) return reject('checksum');
  const addresses = Array.from({ length: addressCount }, (_, i) =>
    ipAddressFromBytes(bytes, headerLength + i * addressLength, addressLength),
  );
  return accept({
    version,
    vrid: bytes[1]!,
    priority: bytes[2]!,
    intervalMs: version === 3 ? (readU16(bytes, 4) & 0x0fff) * 10 : bytes[5]! * 1000,
    authenticationType: version === 2 ? bytes[4]! : 0,
    addresses,
  });
}

/** One line for logs and transcripts. */
export function dumpAdvertisement(advertisement: Advertisement): string {
  const { version, vrid, priority, intervalMs, addresses } = advertisement;
  const list = addresses.length === 0 ? 'none' : addresses.join(' ');
  return `vrrp v${version} vrid ${vrid} priority ${priority} interval ${intervalMs} ms addresses ${list}`;
}

function messageLength(version: 2 | 3, addressCount: number, addressLength: number): number {
  return headerLength + addressCount * addressLength + (version === 2 ? authenticationLength : 0);
}

function emitInterval(advertisement: Advertisement, buffer: Uint8Array, at: number): void {
  const { version, intervalMs } = advertisement;
  const unitMs = version === 3 ? 10 : 1000;
  const units = Math.round(intervalMs / unitMs);
  if (units < 1 || units > (version === 3 ? 0x0fff : 0xff)) {
    throw new RangeError(`an advertisement interval of ${intervalMs} ms cannot be sent in version ${version}`);
  }
  if (version === 3) writeU16(buffer, at, units);
  else writeU16(buffer, at, (advertisement.authenticationType << 8) | units);
}

function byteField(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xff) throw new RangeError(`${name} ${value} is not a byte`);
  return value;
}

function checksumHolds(bytes: Uint8Array, version: 2 | 3, endpoints: Endpoints): boolean {
  // A message that holds its own checksum sums to all ones (RFC 1071).
  const plain = addToSum(0, bytes);
  if (version === 2) return foldSum(plain) === 0xffff;
  if (foldSum(plain + pseudoHeaderSum(bytes.length, endpoints)) === 0xffff) return true;
  return familyOf(endpoints.source) === 'ipv4' && foldSum(plain) === 0xffff;
}

function checksumOf(message: Uint8Array, version: 2 | 3, endpoints: Endpoints, form: ChecksumForm): number {
  const covered =
    version === 3 && (form === 'pseudo-header' || familyOf(endpoints.source) === 'ipv6')
      ? pseudoHeaderSum(message.length, endpoints)
      : 0;
  return foldSum(addToSum(covered, message)) ^ 0xffff;
}

/** RFC 768 and RFC 8200 section 8.1: both pseudo-headers sum to addresses + length + protocol. */
function pseudoHeaderSum(messageBytes: number, endpoints: Endpoints): number {
  const addresses = addToSum(addToSum(0, ipAddressBytes(endpoints.source)), ipAddressBytes(endpoints.destination));
  return addresses + messageBytes + vrrpProtocol;
}
