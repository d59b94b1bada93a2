// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress, parseIpAddress } from './ip-address.ts';

/**
 * An address with a prefix length in bits, as in `192.0.2.1/24`. Host bits are kept, because it may be an interface's
 * address.
 */
export interface Prefix {
  readonly address: IpAddress;
  readonly length: number;
}

/** Parses `ADDRESS[/LENGTH]`; without a length it is a host prefix (32 or 128). */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const address = parseIpAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const bits = familyOf(address) === 'ipv6' ? 128 : 32;
  if (slash < 0) return { address, length: bits };
  const digits = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(digits)) return undefined;
  const length = Number(digits);
  return length > bits ? undefined : { address, length };
}
