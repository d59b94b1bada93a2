// SPDX-License-Identifier: Apache-2.0
import type { EngineConfiguration } from '../../src/engine/engine.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import type { ForwardingMethod } from '../../src/model/forwarding-method.ts';
import type { CompiledService, Selector } from '../../src/model/selector.ts';
import { connectionOverhead } from '../../src/scheduler/least.ts';
import { inside, namespaces } from '../ground.ts';
import { type Arms, type Family, servers, virtualAddress } from './ground.ts';

/** A virtual service that is measured. The ports tell them apart, and both balancers have all of them. */
export interface Case {
  readonly method: Extract<ForwardingMethod, 'direct-route' | 'masquerade'>;
  readonly arms: Arms;
  readonly shape: Selector['shape'];
  /** Real servers: 1 or 4. */
  readonly servers: 1 | 4;
  readonly port: number;
}

export const cases = {
  directRouteOne: { method: 'direct-route', arms: 'one', shape: 'sequence', servers: 4, port: 7001 },
  directRouteTwo: { method: 'direct-route', arms: 'two', shape: 'sequence', servers: 4, port: 7002 },
  masqueradeTwo: { method: 'masquerade', arms: 'two', shape: 'sequence', servers: 4, port: 7003 },
  masqueradeOne: { method: 'masquerade', arms: 'one', shape: 'sequence', servers: 4, port: 7004 },
  masqueradeReply: { method: 'masquerade', arms: 'two', shape: 'sequence', servers: 1, port: 7005 },
  hash: { method: 'direct-route', arms: 'one', shape: 'hash', servers: 4, port: 7006 },
  least: { method: 'direct-route', arms: 'one', shape: 'least', servers: 4, port: 7007 },
} as const satisfies Record<string, Case>;

const families = ['ipv4', 'ipv6'] as const;
/** The size of Maglev tables and other hash selectors. */
const hashSlots = 251;
const hourMs = 3_600_000;

export function batonConfiguration(): EngineConfiguration {
  const services = families.flatMap((family) =>
    Object.values(cases).flatMap((one) => (['udp', 'tcp'] as const).map((protocol) => service(one, family, protocol))),
  );
  return {
    addresses: families.map((family) => ({
      address: virtualAddress[family] as IpAddress,
      interface: 'front',
      leaseSlot: -1,
      answer: true,
    })),
    services,
    timeouts: { tcpMs: hourMs, tcpFinMs: hourMs, udpMs: hourMs },
    gracePeriodMs: 0,
  };
}

function service(one: Case, family: Family, protocol: 'udp' | 'tcp'): CompiledService {
  const addresses = servers[one.arms][family].slice(0, one.servers);
  const names = { sequence: 'rr', hash: 'mh', least: 'lc' } as const;
  return {
    service: {
      address: virtualAddress[family] as IpAddress,
      port: one.port,
      protocol,
      scheduler: { name: names[one.shape], hashPort: true, fallback: false },
      realServers: addresses.map((address) => ({
        address: address as IpAddress,
        port: one.port,
        weight: 1,
        forwardingMethod: one.method,
      })),
    },
    selector: selectorOf(one.shape, addresses.length),
  };
}

function selectorOf(shape: Selector['shape'], count: number): Selector {
  const turns = (length: number): Uint16Array => Uint16Array.from({ length }, (_, i) => i % count);
  if (shape === 'sequence') return { shape, slots: turns(count) };
  if (shape === 'hash') return { shape, slots: turns(hashSlots), seed: 1, hashPort: true };
  const candidates = Array.from({ length: count }, (_, realServer) => ({ realServer, divisor: 1 }));
  return { shape, overhead: connectionOverhead, candidates };
}

/** The kernel's own: destination NAT to the same servers in turn, with connection tracking and forwarding. */
export async function openNftables(): Promise<void> {
  const balancer = namespaces.balancer;
  const set = (file: string, value: string): Promise<string> =>
    inside(balancer, ['tee', `/proc/sys/net/${file}`], value);
  await inside(balancer, ['nft', '-f', '-'], rules());
  await set('ipv4/ip_forward', '1');
  await set('ipv6/conf/all/forwarding', '1');
  await set('ipv4/conf/all/send_redirects', '0');
  await set('ipv4/conf/front/send_redirects', '0');
  // Entries outlive the measurement, as baton's do.
  await set('netfilter/nf_conntrack_udp_timeout', '3600');
  await set('netfilter/nf_conntrack_udp_timeout_stream', '3600');
  for (const state of ['syn_sent', 'syn_recv', 'unacknowledged', 'max_retrans']) {
    await set(`netfilter/nf_conntrack_tcp_timeout_${state}`, '3600');
  }
}

function rules(): string {
  const words = { ipv4: { nft: 'ip', table: 'ip' }, ipv6: { nft: 'ip6', table: 'ip6' } } as const;
  return families
    .map((family) => {
      const { nft, table } = words[family];
      const lines = Object.values(cases).flatMap((one) => {
        const addresses = servers[one.arms][family].slice(0, one.servers);
        const choice =
          addresses.length === 1
            ? addresses[0]
            : `numgen inc mod ${addresses.length} map { ${addresses.map((address, i) => `${i} : ${address}`).join(', ')} }`;
        return ['udp', 'tcp'].map(
          (protocol) => `    ${nft} daddr ${virtualAddress[family]} ${protocol} dport ${one.port} dnat to ${choice}`,
        );
      });
      return `table ${table} bench {\n  chain balance {\n    type nat hook prerouting priority dstnat\n${lines.join('\n')}\n  }\n}\n`;
    })
    .join('');
}
