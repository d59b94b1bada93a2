// SPDX-License-Identifier: Apache-2.0
import {
  type DirectorName,
  gatewayAddress,
  probePort,
  servicePort,
  type Topology,
  virtualAddress,
} from './topology.ts';

/** The director of the higher priority is the one that is active when all is well. */
export const priorities: Readonly<Record<DirectorName, number>> = { a: 150, b: 100 };
export const virtualRouterName = 'lab';

/** A director's keepalived.conf. `advertIntervalMs` is a multiple of 10. */
export function renderConfiguration(
  topology: Topology,
  director: DirectorName,
  { advertIntervalMs, sync }: { readonly advertIntervalMs: number; readonly sync: boolean },
): string {
  const isDirect = topology.forwarding === 'direct-route';
  const addresses = [`    ${virtualAddress}/24 dev front`];
  if (!isDirect) addresses.push(`    ${gatewayAddress}/24 dev back`);
  const check = ['    TCP_CHECK {', '      connect_timeout 3', '      retry 2', '      delay_before_retry 1', '    }'];
  const service = (port: number, checked: boolean): string[] => [
    `virtual_server ${virtualAddress} ${port} {`,
    '  delay_loop 2',
    '  lb_algo rr',
    `  lb_kind ${isDirect ? 'DR' : 'NAT'}`,
    '  protocol TCP',
    ...topology.realServers.flatMap(({ address }) => [
      `  real_server ${address} ${port} {`,
      '    weight 1',
      ...(checked ? check : []),
      '  }',
    ]),
    '}',
  ];
  return [
    'global_defs {',
    `  router_id drill-${director}`,
    '  vrrp_version 3',
    ...(sync ? [`  lvs_sync_daemon front ${virtualRouterName}`] : []),
    '}',
    `vrrp_instance ${virtualRouterName} {`,
    '  state BACKUP',
    '  interface front',
    '  virtual_router_id 51',
    `  priority ${priorities[director]}`,
    `  advert_int ${advertIntervalMs / 1000}`,
    '  virtual_ipaddress {',
    ...addresses,
    '  }',
    '}',
    ...service(servicePort, true),
    ...service(probePort, false),
    '',
  ].join('\n');
}
