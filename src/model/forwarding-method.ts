// SPDX-License-Identifier: Apache-2.0
import type { Family, IpAddress } from '../lib/ip-address.ts';

export type ForwardingMethod = 'masquerade' | 'direct-route' | 'tunnel';

/** How a forwarding method treats a client's packet on its way to the real server. */
export interface MethodRecord {
  /** A literal type, so that the compiler reports a `switch` that leaves a method out. */
  readonly name: ForwardingMethod;
  /** Its name in the configuration: `lvs_method`, `lb_kind`. */
  readonly keyword: 'NAT' | 'DR' | 'TUN';
  /** In the two bits of a connection record, and in the maps of the XDP program. */
  readonly number: 0 | 1 | 2 | 3;
  /** The virtual address becomes the real server's, and in replies the other way round. */
  readonly rewritesAddresses: boolean;
  /** The port is rewritten likewise. Otherwise a real server must have its virtual service's port. */
  readonly rewritesPorts: boolean;
  /** The replies pass this director too: TCP states follow from both halves of a connection. */
  readonly seesReplies: boolean;
  /** Bytes that go in front of the packet, by the real server's family: the MTU has to have room for them. */
  readonly bytesInFront: Readonly<Record<Family, number>>;
  /** The end that the next hop leads towards: see `nextHopTarget`. */
  readonly nextHop: 'real-server' | 'tunnel-end';
  /** The engines have the method. Any other is refused in the configuration and in records of peers. */
  readonly supported: boolean;
}

/**
 * How packets reach their real servers (ip_vs_xmit.c). The C has its part of this table from `npm run generate`, in
 * src/engine/xdp/bpf/forwarding-method.h.
 */
export const forwardingMethods: Readonly<Record<ForwardingMethod, MethodRecord>> = {
  masquerade: {
    name: 'masquerade',
    keyword: 'NAT',
    number: 0,
    rewritesAddresses: true,
    rewritesPorts: true,
    seesReplies: true,
    bytesInFront: { ipv4: 0, ipv6: 0 },
    nextHop: 'real-server',
    supported: true,
  },
  'direct-route': {
    name: 'direct-route',
    keyword: 'DR',
    number: 1,
    rewritesAddresses: false,
    rewritesPorts: false,
    seesReplies: false,
    bytesInFront: { ipv4: 0, ipv6: 0 },
    nextHop: 'real-server',
    supported: true,
  },
  tunnel: {
    name: 'tunnel',
    keyword: 'TUN',
    number: 2,
    rewritesAddresses: false,
    rewritesPorts: false,
    seesReplies: false,
    bytesInFront: { ipv4: 20, ipv6: 40 },
    nextHop: 'tunnel-end',
    supported: false,
  },
};

const methods = Object.values(forwardingMethods);
const byNumber = [0, 1, 2, 3].map((number) => methods.find((method) => method.number === number));

/** Undefined for a number that no method has. */
export function methodByNumber(number: number): MethodRecord | undefined {
  return byNumber[number];
}

/** Undefined for a word that names no method. */
export function methodByKeyword(keyword: string | undefined): MethodRecord | undefined {
  return methods.find((method) => method.keyword === keyword);
}

/** The address whose route says which interface and neighbour a frame goes to. */
export function nextHopTarget({ nextHop }: MethodRecord, realServer: IpAddress): IpAddress {
  switch (nextHop) {
    case 'real-server':
      return realServer;
    case 'tunnel-end':
      // The outer header has the real server's address too (ip_vs_tunnel_xmit in ip_vs_xmit.c).
      return realServer;
  }
}
