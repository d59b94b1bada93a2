// SPDX-License-Identifier: Apache-2.0
import { type Family, familyOf, type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../../lib/ip-address.ts';
import { protocolNumbers, type TransportProtocol } from '../../model/virtual-service.ts';

export interface TransportEndpoint {
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: TransportProtocol;
}

/** `struct endpoint4` and `struct endpoint6`: address, port, protocol, in network byte order. */
export function endpointKey({ address, port, protocol }: TransportEndpoint): Uint8Array {
  const bytes = ipAddressBytes(address);
  const key = new Uint8Array(bytes.length + 4);
  key.set(bytes);
  key.set([port >> 8, port & 0xff, protocolNumbers[protocol]], bytes.length);
  return key;
}

export function parseEndpointKey(key: Uint8Array): TransportEndpoint {
  const length = key.length - 4;
  return {
    address: ipAddressFromBytes(key, 0, length),
    port: (key[length]! << 8) | key[length + 1]!,
    protocol: protocolOf(key[length + 2]!),
  };
}

export function protocolOf(number: number): TransportProtocol {
  return number === protocolNumbers.udp ? 'udp' : number === protocolNumbers.sctp ? 'sctp' : 'tcp';
}

/** The same endpoint, the same text. */
export function endpointText({ address, port, protocol }: TransportEndpoint): string {
  return `${protocol} ${address} ${port}`;
}

/** Four words' bytes, as in all structs: an IPv4 address is the first of them. */
export function wideAddress(address: IpAddress): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(ipAddressBytes(address));
  return bytes;
}

export function parseWideAddress(bytes: Uint8Array, family: Family): IpAddress {
  return ipAddressFromBytes(bytes, 0, family === 'ipv6' ? 16 : 4);
}

export function isIpv6(address: IpAddress): boolean {
  return familyOf(address) === 'ipv6';
}

/** The value of a map from a key to a number. */
export function numberValue(number: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(number).buffer);
}

export function parseNumberValue(value: Uint8Array): number {
  return (value[0]! | (value[1]! << 8) | (value[2]! << 16) | (value[3]! << 24)) >>> 0;
}
