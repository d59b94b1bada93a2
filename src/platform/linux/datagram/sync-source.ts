// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress } from '../../../lib/ip-address.ts';
import { type InterfaceFacts, primaryAddress } from '../netlink/interface-facts.ts';

export interface SyncPath {
  readonly interface: string;
  readonly group: IpAddress;
  /** Used instead of the group: datagrams go to each of these peers, and only theirs are taken. */
  readonly unicastPeers?: readonly IpAddress[];
  /** With peers: the address to send from and to receive at, instead of the interface's primary one. */
  readonly unicastSource?: IpAddress;
  /** Addresses of this host that are no source: they move from director to director. */
  readonly virtualAddresses?: ReadonlySet<IpAddress>;
}

const none: ReadonlySet<IpAddress> = new Set();

/**
 * The address of this host that connection synchronisation sends from, never a virtual one. Throws a sentence when the
 * interface does not have it.
 */
export function syncSource(path: SyncPath, facts: InterfaceFacts): IpAddress {
  const { unicastPeers = [], unicastSource, group, interface: name, virtualAddresses = none } = path;
  const unicast = unicastPeers.length > 0;
  if (unicast && unicastSource !== undefined) {
    if (virtualAddresses.has(unicastSource)) {
      throw new Error(
        `${unicastSource} is a virtual address, which is at the active director alone, and sync is to send from it; ` +
          'correct unicast_src_ip',
      );
    }
    if (facts.addresses.some(({ address, tentative }) => address === unicastSource && !tentative)) return unicastSource;
    throw new Error(`interface ${name} does not have the address ${unicastSource} that sync is to send from; add it`);
  }
  const partner = unicastPeers[0] ?? group;
  const source = unicast
    ? sourceTowards(partner, facts, virtualAddresses)
    : primaryAddress(facts, familyOf(partner), virtualAddresses)?.address;
  if (source !== undefined) return source;
  throw new Error(`interface ${name} has no address of the family of ${partner}; sync needs one`);
}

/** A peer with a global IPv6 address needs a global source: RFC 6724 section 5 rule 2, applied to one interface. */
function sourceTowards(
  peer: IpAddress,
  facts: InterfaceFacts,
  virtualAddresses: ReadonlySet<IpAddress>,
): IpAddress | undefined {
  const family = familyOf(peer);
  if (family === 'ipv4' || peer.startsWith('fe80:')) return primaryAddress(facts, family, virtualAddresses)?.address;
  const candidates = facts.addresses.filter(
    ({ address, tentative }) => familyOf(address) === family && !tentative && !virtualAddresses.has(address),
  );
  return candidates.find(({ linkLocal, permanent }) => !linkLocal && permanent)?.address ?? candidates[0]?.address;
}
