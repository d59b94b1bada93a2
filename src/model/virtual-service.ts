// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress } from '../lib/ip-address.ts';
import { type ForwardingMethod, forwardingMethods } from './forwarding-method.ts';

export type TransportProtocol = 'tcp' | 'udp' | 'sctp';

/** IANA protocol numbers, as they stand in the IP header. */
export const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const satisfies Record<TransportProtocol, number>;

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
  /** 1..65535. It equals the virtual service's port unless the forwarding method rewrites ports. */
  readonly port: number;
  /** 0..65535. 0 quiesces: established connections go on, new ones go elsewhere. */
  readonly weight: number;
  readonly forwardingMethod: ForwardingMethod;
  /** `uthreshold`: with this many connections, active and inactive, it takes no more. Absent or 0: no limit. */
  readonly upperThreshold?: number;
  /**
   * `lthreshold`: once overloaded it takes new connections again below this many. Absent or 0: below three quarters of
   * the upper threshold (ip_vs_ctl.c, ip_vs_dest_update_overload).
   */
  readonly lowerThreshold?: number;
  /** `max_connection_rate`: so many new connections a second at most; others go elsewhere. Absent or 0: no limit. */
  readonly connectionRateMax?: number;
}

/** `persistence_timeout` and `persistence_granularity`: clients of one prefix stay with their real server. */
export interface Persistence {
  /** How long after the last connection of a prefix its template lives on, in milliseconds. */
  readonly timeoutMs: number;
  /** The client prefix that shares a template: 1..32 in IPv4, 1..128 in IPv6. */
  readonly prefixLength: number;
}

export interface VirtualService {
  readonly address: IpAddress;
  /** 1..65535. */
  readonly port: number;
  readonly protocol: TransportProtocol;
  readonly scheduler: Scheduler;
  readonly persistence?: Persistence;
  /** `ops`: every packet is scheduled by itself and leaves no entry. UDP only. */
  readonly onePacket?: boolean;
  /** In the order of the configuration: schedulers that break ties do so by this order. */
  readonly realServers: readonly RealServer[];
}

/**
 * Throws a sentence when an engine cannot forward to a real server of the service: because of its forwarding method, or
 * because it is of the other address family, which no method crosses.
 */
export function requireForwardable(service: VirtualService): void {
  for (const { address, forwardingMethod } of service.realServers) {
    const refuse = (because: string): never => {
      throw new RangeError(`virtual service ${virtualServiceName(service)}: real server ${address} ${because}`);
    };
    if (!forwardingMethods[forwardingMethod].supported) {
      refuse(`has the forwarding method ${forwardingMethod}, which is not supported yet`);
    }
    if (familyOf(address) !== familyOf(service.address)) {
      refuse("is of the other address family; use one of the service's own");
    }
  }
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
