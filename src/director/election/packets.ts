// SPDX-License-Identifier: Apache-2.0
import { type Advertisement, advertisementLength, emitAdvertisement } from '../../../vrrp/packet.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import { type VirtualRouter, vrrpGroups } from '../../model/virtual-router.ts';
import type { VrrpEndpoints } from '../ports.ts';

export interface AddressedMessage {
  readonly endpoints: VrrpEndpoints;
  readonly message: Uint8Array;
}

/** An advertisement for the group, or one for each peer: the checksum covers the destination. */
export function addressMessages(
  { family, unicastPeers = [], checksumForm }: Pick<VirtualRouter, 'family' | 'unicastPeers' | 'checksumForm'>,
  source: IpAddress,
  advertisement: Advertisement,
): AddressedMessage[] {
  const destinations = unicastPeers.length > 0 ? unicastPeers.map(({ address }) => address) : [vrrpGroups[family]];
  return destinations.map((destination) => {
    const endpoints = { source, destination };
    const message = new Uint8Array(advertisementLength(advertisement));
    emitAdvertisement(advertisement, endpoints, message, 0, checksumForm);
    return { endpoints, message };
  });
}

/** Advertises `priority` for a virtual router with these addresses. */
export function advertisementOf(
  { version, vrid }: Pick<VirtualRouter, 'version' | 'vrid'>,
  priority: number,
  intervalMs: number,
  addresses: readonly IpAddress[],
): Advertisement {
  return { version, vrid, priority, intervalMs, authenticationType: 0, addresses };
}
