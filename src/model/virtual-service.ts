// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress } from '../lib/ip-address.ts';

export type TransportProtocol = 'tcp' | 'udp' | 'sctp';

/** IANA protocol numbers, as they stand in the IP header. */
export const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const satisfies Record<TransportProtocol, number>;

/** How a packet reaches its real server. The config file says NAT, DR and TUN. */
export type ForwardingMethod = 'masquerade' | 'direct-route' | 'tunnel';

export const schedulerNames = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'sh',
  'dh',
  'mh',
  'sed',
  'nq',
  'lblc',
  'lblcr',
  'fo',
  'ovf',
  'twos',
] as const;
export type SchedulerName = (typeof schedulerNames)[number];

export interface Scheduler {
  readonly name: SchedulerName;
  /** `sh-port`, `mh-port`: the client's port takes part in the hash. */
  readonly hashPort: boolean;
  /** `sh-fallback`, `mh-fallback`: when the hashed real server cannot take the connection, another one does. */
  readonly fallback: boolean;
}

export interface RealServer {
  readonly address: IpAddress;
  /** 1..65535. With direct-route it equals the virtual service's port. */
  readonly port: number;
  /** 0..65535. 0 quiesces: established connections go on, new ones go elsewhere. */
  readonly weight: number;
  readonly forwardingMethod: ForwardingMethod;
}

export interface VirtualService {
  readonly address: IpAddress;
  /** 1..65535. */
  readonly port: number;
  readonly protocol: TransportProtocol;
  readonly scheduler: Scheduler;
  /** In the order of the configuration: schedulers that break ties do so by this order. */
  readonly realServers: readonly RealServer[];
}

/** Names a virtual service within one director and between peers: `tcp 192.0.2.1:80`. */
export function virtualServiceName(service: Pick<VirtualService, 'address' | 'port' | 'protocol'>): string {
  return `${service.protocol} ${endpointName(service)}`;
}

/** Names a real server within its virtual service: `192.0.2.1:80`, `[2001:db8::1]:80`. */
export function endpointName(endpoint: { readonly address: IpAddress; readonly port: number }): string {
  const { address, port } = endpoint;
  return familyOf(address) === 'ipv6' ? `[${address}]:${port}` : `${address}:${port}`;
}
