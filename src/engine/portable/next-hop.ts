// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../../lib/ip-address.ts';
import type { PacketPort } from './packet-port.ts';

/**
 * Where frames for one destination go next. The resolver keeps the object up to date for as long as it is held, so a
 * connection may keep it and read it for each packet.
 */
export interface NextHop {
  /** `resolving`: the kernel was asked, and packets may wait. `unreachable`: no route, or an interface without a port. */
  readonly state: 'resolved' | 'resolving' | 'unreachable';
  /** The egress port; undefined only while unreachable. */
  readonly port: PacketPort | undefined;
  /** The neighbour's MAC address, 6 bytes; meaningless unless resolved. */
  readonly macAddress: Uint8Array;
}

/** The kernel's routes and neighbours, followed by rtnetlink. */
export interface NextHopResolver {
  /** Looks the route up and starts neighbour resolution where needed. Same destination, same object, while cached. */
  resolve(destination: IpAddress): NextHop;
  /** Reads what the kernel has reported since. Returns true when any next hop changed. */
  update(): boolean;
}
