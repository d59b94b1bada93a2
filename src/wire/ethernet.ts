// SPDX-License-Identifier: Apache-2.0
import { readU16, writeU16 } from '../lib/bytes.ts';
import { accept, type Result, reject } from '../lib/result.ts';

/** The header of an Ethernet II frame. Addresses are 6 bytes each. */
export interface EthernetHeader {
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  readonly etherType: number;
}

export type EthernetFault = 'truncated';

/** Byte offsets from the frame's first byte. */
export const EthernetOffset = { destination: 0, source: 6, etherType: 12, payload: 14 } as const;

export const ethernetHeaderLength = 14;
export const macAddressLength = 6;

export const EtherType = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd, serviceVlan: 0x88a8 } as const;

export const broadcastMacAddress: Uint8Array = new Uint8Array(macAddressLength).fill(0xff);

export function readEtherType(bytes: Uint8Array, frame: number): number {
  return readU16(bytes, frame + EthernetOffset.etherType);
}

/** Whether the frame is addressed to a group, broadcast included: the I/G bit (IEEE 802.3 section 3.2.3). */
export function isGroupAddressed(bytes: Uint8Array, frame: number): boolean {
  return (bytes[frame]! & 1) === 1;
}

/** Overwrites both addresses without touching anything else. */
export function writeMacAddresses(bytes: Uint8Array, frame: number, destination: Uint8Array, source: Uint8Array): void {
  for (let i = 0; i < macAddressLength; i += 1) {
    bytes[frame + i] = destination[i]!;
    bytes[frame + EthernetOffset.source + i] = source[i]!;
  }
}

/** The addresses are views of `bytes`. */
export function parseEthernet(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Result<EthernetHeader, EthernetFault> {
  if (length < ethernetHeaderLength) return reject('truncated');
  return accept({
    destination: bytes.subarray(offset, offset + macAddressLength),
    source: bytes.subarray(offset + EthernetOffset.source, offset + EthernetOffset.etherType),
    etherType: readEtherType(bytes, offset),
  });
}

export function ethernetLength(): number {
  return ethernetHeaderLength;
}

/** Returns where the payload starts. */
export function emitEthernet(header: EthernetHeader, buffer: Uint8Array, offset: number): number {
  writeMacAddresses(buffer, offset, header.destination, header.source);
  writeU16(buffer, offset + EthernetOffset.etherType, header.etherType);
  return offset + ethernetHeaderLength;
}

/** Colon-separated lower-case hexadecimal. */
export function formatMacAddress(address: Uint8Array): string {
  return Array.from(address, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

export function parseMacAddress(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}
