// SPDX-License-Identifier: Apache-2.0
import type { Datagram } from '../../vrrp/ladder.ts';
import type { Endpoints } from '../../vrrp/packet.ts';
import type { Clock } from '../lib/clock.ts';
import type { IpAddress } from '../lib/ip-address.ts';
import type { VirtualAddress, VirtualRouter } from '../model/virtual-router.ts';
import type { ElectionChange } from './election/election-view.ts';
import type { ElectionLog } from './election/log-sentences.ts';
import type { RunningRouter } from './election/running-router.ts';

// What the director's parts need from the outside. platform/linux implements these for real, test/support on
// simulated time and network.

/**
 * `message` is valid only during the call. With a negative `ttl` the kernel has found it out of the range for the sender,
 * and `message` is cut short.
 */
export interface ReceivedAdvertisement extends Datagram {
  /** The interface it came in on. */
  readonly interface: string;
}

/** How a virtual router's advertisements travel, where that is not from the primary address to the group. */
export type VrrpPath = Pick<VirtualRouter, 'sourceAddress' | 'unicastPeers'>;

/** The addresses in the IP header of an advertisement: from what `open` gave to the group, or to a peer. */
export type VrrpEndpoints = Endpoints;

/** VRRP on the interfaces of the configured virtual routers, by multicast and unicast. */
export interface VrrpTransport {
  /**
   * Makes ready to send and hear on an interface, along `path`; opening the same again is fine. Gives the address that
   * is sent from: the interface's primary one unless the path names another. Throws a sentence when that cannot be done.
   */
  open(interfaceName: string, family: VirtualRouter['family'], path?: VrrpPath): IpAddress;
  /**
   * Sends with TTL 255; without `endpoints` from the primary address to the group. `onSent` is called once the kernel
   * has taken it, or with an error.
   */
  send(
    interfaceName: string,
    family: VirtualRouter['family'],
    message: Uint8Array,
    onSent: (error?: Error) => void,
    endpoints?: VrrpEndpoints,
  ): void;
  onReceive(listener: (advertisement: ReceivedAdvertisement) => void): void;
  close(): void;
}

/** What `ip address` calls brd, scope and label. */
export type AddressAttributes = Pick<VirtualAddress, 'broadcast' | 'scope' | 'label'>;

/** Puts addresses on interfaces and takes them off (rtnetlink). Adding one that is there, or removing one that is not, is fine. */
export interface AddressKeeper {
  add(address: IpAddress, prefixLength: number, interfaceName: string, attributes?: AddressAttributes): void;
  remove(address: IpAddress, prefixLength: number, interfaceName: string): void;
}

/** Tells the segment that an address lives here: gratuitous ARP, or an unsolicited neighbour advertisement. */
export interface Announcer {
  announce(address: IpAddress, interfaceName: string): void;
}

/** The lease array, one slot per virtual router. */
export interface LeaseWriter {
  /** `untilMs` on the monotonic clock. */
  grant(slot: number, untilMs: number): void;
  revoke(slot: number): void;
}

/** One datagram socket for connection synchronisation. */
export interface SyncTransport {
  /** Best effort, never blocks; failures are counted by the transport. */
  send(datagram: Uint8Array): void;
  /** The bytes are valid only during the call. */
  onReceive(listener: (datagram: Uint8Array, source: IpAddress) => void): void;
  close(): void;
}

/** All that the election works on. */
export interface ElectionPorts {
  readonly clock: Clock;
  readonly transport: VrrpTransport;
  readonly addressKeeper: AddressKeeper;
  readonly announcer: Announcer;
  readonly leaseWriter: LeaseWriter;
  readonly log: ElectionLog;
  /** After every transition, and when a router that became active has acquired its addresses. */
  readonly onChange: (router: Readonly<RunningRouter>, change: ElectionChange) => void;
}
