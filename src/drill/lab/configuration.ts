// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../../lib/ip-address.ts';
import { forwardingMethods } from '../../model/forwarding-method.ts';
import {
  type DirectorName,
  familiesOf,
  flowPort,
  gatewayAddresses,
  type LabFamily,
  mortalFlowPort,
  mortalPort,
  openingPort,
  probePort,
  type RealServerStation,
  servicePort,
  type Topology,
  virtualAddresses,
} from './topology.ts';

/** Which of the lab's real servers are in the configuration: the weight of each, in their order. */
export type RealServerChoice = readonly number[];

export interface ConfigurationOptions {
  readonly family: LabFamily;
  /** A multiple of 10. */
  readonly advertIntervalMs: number;
  readonly sync: boolean;
  readonly defer: boolean;
  /** Without flows there is no UDP service. */
  readonly flows: number;
  /** Virtual addresses of each virtual router; the further ones have no service. */
  readonly addresses: number;
  /** Without sessions that are opened all the time there is no service for them. */
  readonly openingRate: number;
  /** Only with `server-death` there are the services of which a real server dies. */
  readonly scenarios: readonly string[];
}

/** The director of the higher priority is the one that is active when all is well. */
const priorities: Readonly<Record<DirectorName, number>> = { a: 150, b: 100 };
/** One real server of the lab waits for a reload that adds it. */
export const initialRealServers: RealServerChoice = [1, 1];
export const realServerCount = initialRealServers.length + 1;

/** The virtual router of each family. */
export const virtualRouters: Readonly<Record<Family, { readonly name: string; readonly id: number }>> = {
  ipv4: { name: 'lab', id: 51 },
  ipv6: { name: 'lab6', id: 52 },
};
/** RFC 9568 section 5.2.9: the first address of an IPv6 virtual router is link-local. */
export const linkLocalAddress = 'fe80::5:100';

/** As many as one advertisement holds: 255 by its count, fewer of IPv6 by the Ethernet frame. */
const addressesMax: Readonly<Record<Family, number>> = { ipv4: 255, ipv6: 80 };

/** The active down interval of a director of the lab (RFC 9568 section 6.1), in milliseconds. */
export function activeDownIntervalMs(director: DirectorName, advertIntervalMs: number): number {
  const skewMs = ((256 - priorities[director]) * advertIntervalMs) / 256;
  return 3 * advertIntervalMs + skewMs;
}

/** A director's keepalived.conf. */
export function renderConfiguration(
  topology: Topology,
  director: DirectorName,
  options: ConfigurationOptions,
  realServers: RealServerChoice = initialRealServers,
): string {
  const families = familiesOf(options.family);
  const { forwarding } = topology;
  const chosen = realServers.map((weight, i) => ({ ...topology.realServers[i]!, weight }));
  const service = (family: Family, given: Omit<Service, 'family' | 'forwarding' | 'realServers'>): string[] =>
    renderService({ ...given, family, forwarding, realServers: chosen });
  return [
    'global_defs {',
    `  router_id drill-${director}`,
    '  vrrp_version 3',
    ...(options.sync ? [`  lvs_sync_daemon front ${virtualRouters[families[0]!].name}`] : []),
    '}',
    ...(options.sync && options.defer ? ['baton {', '  defer', '}'] : []),
    ...families.flatMap((family) => [
      ...renderInstance(topology, director, options, family),
      ...service(family, { port: servicePort, protocol: 'TCP', check: steadyCheck }),
      ...service(family, { port: probePort, protocol: 'TCP' }),
      ...(options.flows === 0 ? [] : service(family, { port: flowPort, protocol: 'UDP' })),
      ...(options.openingRate === 0 ? [] : service(family, { port: openingPort, protocol: 'TCP', check: steadyCheck })),
      ...(options.scenarios.includes('server-death') ? renderMortalServices(topology, family) : []),
    ]),
    '',
  ].join('\n');
}

function renderInstance(
  topology: Topology,
  director: DirectorName,
  { advertIntervalMs, addresses: count }: ConfigurationOptions,
  family: Family,
): string[] {
  const length = family === 'ipv4' ? 24 : 64;
  const addresses = [`    ${virtualAddresses[family]}/${length} dev front`];
  if (family === 'ipv6') addresses.unshift(`    ${linkLocalAddress}/64 dev front`);
  const { seesReplies } = forwardingMethods[topology.forwarding];
  if (seesReplies) addresses.push(`    ${gatewayAddresses[family]}/${length} dev back`);
  for (let i = addresses.length; i < Math.min(count, addressesMax[family]); i += 1) {
    addresses.push(
      family === 'ipv4' ? `    10.88.0.${i}/32 dev front` : `    fd00:88::${i.toString(16)}/128 dev front`,
    );
  }
  return [
    `vrrp_instance ${virtualRouters[family].name} {`,
    '  state BACKUP',
    '  interface front',
    `  virtual_router_id ${virtualRouters[family].id}`,
    `  priority ${priorities[director]}`,
    `  advert_int ${advertIntervalMs / 1000}`,
    '  virtual_ipaddress {',
    ...addresses,
    '  }',
    '}',
  ];
}

interface Service {
  readonly family: Family;
  readonly forwarding: Topology['forwarding'];
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
  /** Absent: the real servers are not checked. */
  readonly check?: Check;
  readonly realServers: readonly (RealServerStation & { readonly weight: number })[];
}

interface Check {
  readonly intervalS: number;
  readonly connectTimeoutS: number;
  readonly retries: number;
  /** Absent: the port of the service. */
  readonly port?: number;
}

/** One that a busy machine does not fail. */
const steadyCheck: Check = { intervalS: 2, connectTimeoutS: 3, retries: 2 };
/** One that finds a dead real server within 5 s. */
const swiftCheck: Check = { intervalS: 1, connectTimeoutS: 1, retries: 1, port: mortalPort };

/** Two real servers each, of which the second may die. A check of TCP decides about UDP as well. */
function renderMortalServices({ forwarding, realServers, mortalServer }: Topology, family: Family): string[] {
  const both = [realServers[0]!, mortalServer].map((server) => ({ ...server, weight: 1 }));
  const common = { family, forwarding, check: swiftCheck, realServers: both } as const;
  return [
    ...renderService({ ...common, port: mortalPort, protocol: 'TCP' }),
    ...renderService({ ...common, port: mortalFlowPort, protocol: 'UDP' }),
  ];
}

function renderService({ family, forwarding, port, protocol, check, realServers }: Service): string[] {
  return [
    `virtual_server ${virtualAddresses[family]} ${port} {`,
    `  delay_loop ${check?.intervalS ?? 2}`,
    '  lb_algo wrr',
    `  lb_kind ${forwardingMethods[forwarding].keyword}`,
    `  protocol ${protocol}`,
    ...realServers.flatMap(({ addresses, weight }) => [
      `  real_server ${addresses[family]} ${port} {`,
      `    weight ${weight}`,
      ...(check === undefined ? [] : renderCheck(check)),
      '  }',
    ]),
    '}',
  ];
}

function renderCheck({ connectTimeoutS, retries, port }: Check): string[] {
  return [
    '    TCP_CHECK {',
    ...(port === undefined ? [] : [`      connect_port ${port}`]),
    `      connect_timeout ${connectTimeoutS}`,
    `      retry ${retries}`,
    '      delay_before_retry 1',
    '    }',
  ];
}
