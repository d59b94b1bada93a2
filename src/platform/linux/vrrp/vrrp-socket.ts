// SPDX-License-Identifier: Apache-2.0
import type { ReceivedAdvertisement, VrrpEndpoints, VrrpPath, VrrpTransport } from '../../../director/ports.ts';
import type { Family, IpAddress } from '../../../lib/ip-address.ts';
import { vrrpGroups } from '../../../model/virtual-router.ts';
import { findInterfaceIndex, type InterfaceFacts, interfaceFacts, primaryAddress } from '../netlink/interface-facts.ts';
import { NetlinkSocket } from '../netlink/netlink-socket.ts';
import { type ChannelPlace, VrrpChannel } from './channel.ts';

/** An interface on which every send fails is opened again at most this often. */
const reopenIntervalMs = 1000;

/**
 * VRRP by raw sockets: one for each interface and family, and in IPv6 one more for each source address of unicast. Runs
 * on the main thread of its process only: `raw-socket` is not a context-aware module. When an interface is created
 * again, `open` moves its channels to it; without that call, the first send fails and then moves them.
 */
export class RawVrrpTransport implements VrrpTransport {
  readonly #channels = new Map<string, VrrpChannel>();
  /** By channel: the path with which it is opened again. */
  readonly #paths = new Map<string, VrrpPath>();
  readonly #listeners: ((advertisement: ReceivedAdvertisement) => void)[] = [];
  readonly #reopenAt = new Map<string, number>();
  readonly #factsOf: (interfaceName: string) => InterfaceFacts;
  /** Packets whose IP header could not be read. */
  malformed = 0;

  constructor(factsOf: (interfaceName: string) => InterfaceFacts = interfaceFacts) {
    this.#factsOf = factsOf;
  }

  open(interfaceName: string, family: Family, path: VrrpPath = {}): IpAddress {
    const facts = this.#factsOf(interfaceName);
    const source = sourceOf(facts, family, path);
    const primary = primaryAddress(facts, family, path.virtualAddresses)?.address ?? source;
    const group = vrrpGroups[family];
    const unicast = (path.unicastPeers?.length ?? 0) > 0;
    this.#closeForsaken(facts, family);
    // In IPv4 the header tells the destination, so that one socket hears everything.
    const destination = unicast && family === 'ipv6' ? source : group;
    const channel = this.#channelFor({ facts, family, source: primary, destination }, path);
    if (destination !== group && path.unicastPeers !== undefined) {
      channel.setRanges(
        path.unicastPeers.map(({ address, minTtl, maxTtl }) => [address, { min: minTtl, max: maxTtl }]),
      );
    }
    return source;
  }

  send(
    interfaceName: string,
    family: Family,
    message: Uint8Array,
    onSent: (error?: Error) => void,
    endpoints?: VrrpEndpoints,
  ): void {
    const key = this.#keyFor(interfaceName, family, endpoints);
    const channel = this.#channels.get(key);
    if (channel === undefined || channel.closed) {
      this.#reopen(key, interfaceName, family);
      process.nextTick(onSent, new Error(`cannot send VRRP on ${interfaceName}: it is not open`));
      return;
    }
    const { source } = channel.place;
    channel.send(message, endpoints ?? { source, destination: vrrpGroups[family] }, (error) => {
      if (error === null) return onSent();
      this.#reopenIfReplaced(channel, key);
      return onSent(new Error(`cannot send VRRP on ${interfaceName}: ${error.message}`));
    });
  }

  onReceive(listener: (advertisement: ReceivedAdvertisement) => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
    this.#paths.clear();
  }

  /** The channel at a place; a channel on a former interface or source is closed. */
  #channelFor(place: ChannelPlace, path: VrrpPath): VrrpChannel {
    const key = keyOf(place.facts.name, place.family, place.destination);
    const known = this.#channels.get(key);
    const stands = known?.place.facts.index === place.facts.index && known.place.source === place.source;
    if (known !== undefined && !known.closed && stands) return known;
    known?.close();
    const channel = new VrrpChannel(place, (received) => this.#receive(received));
    this.#channels.set(key, channel);
    this.#paths.set(key, path);
    return channel;
  }

  /** In IPv6 unicast is heard at one address, which may be gone. */
  #closeForsaken(facts: InterfaceFacts, family: Family): void {
    for (const [key, { place }] of this.#channels) {
      const { destination } = place;
      if (place.facts.name !== facts.name || place.family !== family || destination === vrrpGroups[family]) continue;
      if (facts.addresses.some(({ address }) => address === destination)) continue;
      this.#channels.get(key)?.close();
      this.#channels.delete(key);
      this.#paths.delete(key);
    }
  }

  #receive(received: ReceivedAdvertisement | 'malformed'): void {
    if (received === 'malformed') {
      this.malformed += 1;
      return;
    }
    for (const listener of this.#listeners) listener(received);
  }

  #keyFor(interfaceName: string, family: Family, endpoints: VrrpEndpoints | undefined): string {
    const group = vrrpGroups[family];
    const unicast = family === 'ipv6' && endpoints !== undefined && endpoints.destination !== group;
    return keyOf(interfaceName, family, unicast ? endpoints.source : group);
  }

  /** A socket stays bound to the index of an interface that is gone, even when another takes its name. */
  #reopenIfReplaced(channel: VrrpChannel, key: string): void {
    const { facts, family } = channel.place;
    const netlink = new NetlinkSocket();
    const index = findInterfaceIndex(netlink, facts.name);
    netlink.close();
    if (index === undefined || index === facts.index) return;
    channel.close();
    this.#reopen(key, facts.name, family);
  }

  #reopen(key: string, interfaceName: string, family: Family): void {
    const nowMs = performance.now();
    if (!this.#channels.has(key) || nowMs < (this.#reopenAt.get(key) ?? 0)) return;
    this.#reopenAt.set(key, nowMs + reopenIntervalMs);
    try {
      this.open(interfaceName, family, this.#paths.get(key));
    } catch {
      // Still gone, or still without an address: the next send tries again.
    }
  }
}

/** The address that advertisements come from. Throws a sentence when the interface has none, or not the one that is wanted. */
function sourceOf(facts: InterfaceFacts, family: Family, { sourceAddress, virtualAddresses }: VrrpPath): IpAddress {
  if (sourceAddress !== undefined) {
    if (virtualAddresses?.has(sourceAddress) === true) {
      throw new Error(
        `${sourceAddress} is a virtual address, which is at the active director alone, and VRRP is to send from it; ` +
          'correct unicast_src_ip or mcast_src_ip',
      );
    }
    if (facts.addresses.some(({ address, tentative }) => address === sourceAddress && !tentative)) return sourceAddress;
    throw new Error(
      `interface ${facts.name} does not have the address ${sourceAddress}; VRRP is to send from it, so add it, or ` +
        'correct unicast_src_ip or mcast_src_ip',
    );
  }
  const source = primaryAddress(facts, family, virtualAddresses)?.address;
  if (source !== undefined) return source;
  const kind = family === 'ipv6' ? 'link-local IPv6 address' : 'IPv4 address';
  throw new Error(`interface ${facts.name} has no ${kind}; VRRP needs one to send from`);
}

function keyOf(interfaceName: string, family: Family, destination: IpAddress): string {
  return `${interfaceName} ${family} ${destination}`;
}
