// SPDX-License-Identifier: Apache-2.0
import type { Datagram } from '../../vrrp/ladder.ts';
import type { Endpoints } from '../../vrrp/packet.ts';
import type { Clock } from '../lib/clock.ts';
import type { IpAddress } from '../lib/ip-address.ts';
import type { Sign } from '../model/lease.ts';
import type { VirtualAddress, VirtualRouter } from '../model/virtual-router.ts';
import type { ElectionChange } from './election/election-view.ts';
import type { ElectionLog } from './election/log-sentences.ts';
import type { RunningRouter } from './election/running-router.ts';

// The ports through which the director's parts reach the outside. platform/linux implements them for Linux,
// test/support on simulated time and network.

/**
 * `message` is valid only during the call. A negative `ttl` means that the kernel found the TTL outside the sender's
 * range; `message` is cut short then.
 */
export interface ReceivedAdvertisement extends Datagram {
  /** The interface on which it arrived. */
  readonly interface: string;
}

/** The configured source and unicast peers of a virtual router; without them, from the primary address to the group. */
export interface VrrpPath extends Pick<VirtualRouter, 'sourceAddress' | 'unicastPeers'> {
  /** Addresses of this host that are no source: they move from director to director. */
  readonly virtualAddresses?: ReadonlySet<IpAddress>;
}

/** The addresses in the IP header of an advertisement: from the address that `open` gave to the group, or to a peer. */
export type VrrpEndpoints = Endpoints;

/** VRRP on the interfaces of the configured virtual routers, by multicast and unicast. */
export interface VrrpTransport {
  /**
   * Prepares to send and receive on an interface, along `path`; opening the same again is allowed. Gives the source
   * address: the interface's primary one unless the path names another. Throws a sentence when that cannot be done.
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

/** The attributes that `ip address` calls brd, scope and label. */
export type AddressAttributes = Pick<VirtualAddress, 'broadcast' | 'scope' | 'label'>;

/**
 * Puts addresses on interfaces and removes them (rtnetlink). Adding one that is there, or removing one that is not, is
 * no error.
 */
export interface AddressKeeper {
  add(address: IpAddress, prefixLength: number, interfaceName: string, attributes?: AddressAttributes): void;
  remove(address: IpAddress, prefixLength: number, interfaceName: string): void;
}

/** Tells the segment where an address is: gratuitous ARP, or an unsolicited neighbour advertisement. */
export interface Announcer {
  announce(address: IpAddress, interfaceName: string): void;
}

/** The lease array, one slot per virtual router. */
export interface LeaseWriter {
  /** `untilMs` on the monotonic clock. */
  grant(slot: number, untilMs: number): void;
  revoke(slot: number): void;
}

/** Signs of life beside the leases. */
export interface SignWriter {
  /** The part is alive until then, in monotonic milliseconds; Infinity: nobody watches it. */
  sign(part: Sign, untilMs: number): void;
}

/** One datagram socket for connection synchronisation. */
export interface SyncTransport {
  /** Best effort, never blocks; failures are counted by the transport. False: not every peer has been sent to. */
  send(datagram: Uint8Array): boolean;
  /** The bytes are valid only during the call. */
  onReceive(listener: (datagram: Uint8Array, source: IpAddress) => void): void;
  /** The address that it sends from; undefined while it has none. */
  readonly source?: IpAddress | undefined;
  /** Why nothing can be sent: a sentence without its full stop. */
  impediment?(): string | undefined;
  /** What this host knows of why nothing arrives: a sentence without its full stop. */
  trouble?(): string | undefined;
  close(): void;
}

/** All ports of the election. */
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
