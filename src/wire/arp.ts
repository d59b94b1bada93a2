// SPDX-License-Identifier: Apache-2.0
import { readU16, writeU16 } from '../lib/bytes.ts';
import { type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../lib/ip-address.ts';
import { accept, type Result, reject } from '../lib/result.ts';
import { macAddressLength } from './ethernet.ts';

/** An ARP message for IPv4 over Ethernet (RFC 826). MAC addresses are 6 bytes. */
export interface ArpMessage {
  /** 1 asks, 2 answers. */
  readonly operation: number;
  readonly senderMac: Uint8Array;
  readonly senderAddress: IpAddress;
  readonly targetMac: Uint8Array;
  readonly targetAddress: IpAddress;
}

/** `unsupported`: not IPv4 over Ethernet. */
export type ArpFault = 'truncated' | 'unsupported';

/** Byte offsets from the message's first byte. */
export const ArpOffset = {
  hardwareType: 0,
  protocolType: 2,
  hardwareLength: 4,
  protocolLength: 5,
  operation: 6,
  senderMac: 8,
  senderAddress: 14,
  targetMac: 18,
  targetAddress: 24,
} as const;

export const ArpOperation = { request: 1, reply: 2 } as const;

const messageLength = 28;
const hardwareEthernet = 1;
const protocolIpv4 = 0x0800;

/** Undefined for a message that may be read by `ArpOffset`. */
export function checkArp(bytes: Uint8Array, offset: number, length: number): ArpFault | undefined {
  if (length < messageLength) return 'truncated';
  if (
    readU16(bytes, offset + ArpOffset.hardwareType) !== hardwareEthernet ||
    readU16(bytes, offset + ArpOffset.protocolType) !== protocolIpv4 ||
    bytes[offset + ArpOffset.hardwareLength] !== macAddressLength ||
    bytes[offset + ArpOffset.protocolLength] !== 4
  ) {
    return 'unsupported';
  }
  return undefined;
}

export function readArpOperation(bytes: Uint8Array, offset: number): number {
  return readU16(bytes, offset + ArpOffset.operation);
}

/** The MAC addresses are views of `bytes`. */
export function parseArp(bytes: Uint8Array, offset = 0, length = bytes.length - offset): Result<ArpMessage, ArpFault> {
  const fault = checkArp(bytes, offset, length);
  if (fault !== undefined) return reject(fault);
  return accept({
    operation: readArpOperation(bytes, offset),
    senderMac: bytes.subarray(offset + ArpOffset.senderMac, offset + ArpOffset.senderAddress),
    senderAddress: ipAddressFromBytes(bytes, offset + ArpOffset.senderAddress, 4),
    targetMac: bytes.subarray(offset + ArpOffset.targetMac, offset + ArpOffset.targetAddress),
    targetAddress: ipAddressFromBytes(bytes, offset + ArpOffset.targetAddress, 4),
  });
}

export function arpLength(): number {
  return messageLength;
}

/** Returns the offset behind the message. */
export function emitArp(message: ArpMessage, buffer: Uint8Array, offset: number): number {
  writeU16(buffer, offset + ArpOffset.hardwareType, hardwareEthernet);
  writeU16(buffer, offset + ArpOffset.protocolType, protocolIpv4);
  buffer[offset + ArpOffset.hardwareLength] = macAddressLength;
  buffer[offset + ArpOffset.protocolLength] = 4;
  writeU16(buffer, offset + ArpOffset.operation, message.operation);
  buffer.set(message.senderMac, offset + ArpOffset.senderMac);
  buffer.set(ipAddressBytes(message.senderAddress), offset + ArpOffset.senderAddress);
  buffer.set(message.targetMac, offset + ArpOffset.targetMac);
  buffer.set(ipAddressBytes(message.targetAddress), offset + ArpOffset.targetAddress);
  return offset + messageLength;
}
