// SPDX-License-Identifier: Apache-2.0
import type { RejectionCounters } from '../../vrrp/ladder.ts';
import type { Family, IpAddress } from '../lib/ip-address.ts';
import type { ElectedAddress } from './election-router.ts';

/** One interface and family, on which any number of virtual routers speak. */
export interface Segment {
  readonly interface: string;
  readonly family: Family;
  up: boolean;
  /** Undefined until the transport could be opened. */
  primaryAddress: IpAddress | undefined;
  readonly rejections: RejectionCounters;
}

/** The source of advertisements that cannot be sent yet. */
export const unknownAddress = { ipv4: '0.0.0.0' as IpAddress, ipv6: '::' as IpAddress } as const;

/** An address that a reload leaves where it is. */
export function samePlace(left: ElectedAddress, right: ElectedAddress): boolean {
  return (
    left.install === right.install && left.prefixLength === right.prefixLength && left.interface === right.interface
  );
}
