// SPDX-License-Identifier: Apache-2.0
import { defaultRunDirectory, fetchStatus } from '../control/client.ts';
import type {
  DirectorStatus,
  RealServerStatus,
  ServiceStatus,
  SorryServerStatus,
  VirtualRouterStatus,
} from '../director/status.ts';
import { ExitCode, parseOptions } from '../lib/command-line.ts';
import { keepalivedStateNames } from '../model/virtual-router.ts';
import { endpointName } from '../model/virtual-service.ts';
import { print } from './print.ts';
import { formatTable } from './table.ts';

/** `baton status`: prints the state of the running director. */
export async function statusCommand(args: readonly string[]): Promise<ExitCode> {
  const options = parseOptions('status', args, {
    'run-dir': { type: 'string', default: defaultRunDirectory },
    json: { type: 'boolean', default: false },
  });
  const status = await fetchStatus(options['run-dir']);
  await print(options.json ? `${JSON.stringify(status, undefined, 2)}\n` : describeStatus(status));
  return ExitCode.done;
}

/** The status as text for a person, with keepalived's and ipvsadm's words where they have them. */
export function describeStatus(status: DirectorStatus): string {
  return [
    `baton ${status.version}, ${status.routerId}, ${status.engine.kind} engine, up ${formatAge(status.uptimeMs)}, pid ${status.processId}`,
    '',
    ...describeRouters(status.virtualRouters),
    ...describeSync(status),
    '',
    ...status.services.flatMap(describeService),
    ...describeDrops(status),
    '',
  ].join('\n');
}

function describeRouters(routers: readonly VirtualRouterStatus[]): string[] {
  if (routers.length === 0) return ['no virtual routers: every virtual address is served without election'];
  const rows = routers.map((router) => [
    router.name,
    String(router.vrid),
    router.interface,
    keepalivedStateNames[router.state],
    formatAge(router.stateAgeMs),
    String(router.priority),
    router.activeRouter ?? '-',
    router.addresses.join(' '),
  ]);
  const table = formatTable(
    ['virtual router', 'vrid', 'interface', 'state', 'since', 'priority', 'active', 'addresses'],
    rows,
  );
  return [...table, ...routers.flatMap(describeFaults), ...routers.flatMap(describeShortenedInterval)];
}

function describeFaults({ name, faults = [] }: VirtualRouterStatus): string[] {
  return faults.map((fault) => `${name} is in fault: ${fault}`);
}

function describeShortenedInterval({ name, activeRouter, shortenedInterval }: VirtualRouterStatus): string[] {
  if (shortenedInterval === undefined) return [];
  const { advertisedMs, adoptedMs } = shortenedInterval;
  return [
    `${name}: ${activeRouter} says that it advertises every ${advertisedMs / 1000} s, adopted are ${adoptedMs / 1000} s`,
  ];
}

function describeSync({ sync }: DirectorStatus): string[] {
  if (sync.state === 'off') return ['', 'sync: off (no lvs_sync_daemon): a failover breaks established sessions'];
  const names = {
    alone: 'alone, nobody to sync with',
    cutOff: 'cut off, hears nobody while VRRP hears an active director',
    joining: 'joining, copying the table',
    inSync: 'in sync',
  } as const;
  const peers = sync.peers.map((peer) => {
    const heard = `heard ${formatAge(peer.lastHeardMs)} ago`;
    const deaf = peer.gate === 'alone' ? ', does not hear this director' : '';
    return `  peer ${peer.address}: ${peer.inSync ? 'in sync' : 'not in sync'}, ${heard}${deaf}`;
  });
  const warning = sync.warning === undefined ? [] : [`  warning: ${sync.warning}`];
  const from = sync.source === undefined ? '' : `, from ${sync.source}`;
  return ['', `sync: ${names[sync.state]}${from}`, ...peers, ...warning];
}

function describeService(service: ServiceStatus): string[] {
  const rows = service.realServers.map((server) =>
    describeServer(server, server.alive ? String(server.weight) : `${server.weight} (down)`),
  );
  const { sorryServer } = service;
  if (sorryServer !== undefined) {
    rows.push(describeServer(sorryServer, sorryServer.serving ? 'sorry (serving)' : 'sorry'));
  }
  const { persistence } = service;
  const title = [
    service.name,
    service.scheduler,
    ...(service.onePacket === true ? ['ops'] : []),
    ...(persistence === undefined ? [] : [`persistent ${persistence.timeoutMs / 1000}s/${persistence.prefixLength}`]),
  ];
  const header = [title.join(' '), 'forward', 'weight', 'active', 'inactive', 'conns', 'in', 'out'];
  return [...formatTable(header, rows), ''];
}

function describeServer(server: RealServerStatus | SorryServerStatus, weight: string): string[] {
  return [
    `-> ${endpointName(server)}`,
    server.forwardingMethod,
    weight,
    String(server.activeConnections),
    String(server.inactiveConnections),
    String(server.connections),
    String(server.packetsIn),
    String(server.packetsOut),
  ];
}

function describeDrops({ engine }: DirectorStatus): string[] {
  const drops = Object.entries(engine.drops).filter(([, count]) => count > 0);
  const { establishedConnections, secondClassConnections, halfOpenConnections } = engine;
  const second = secondClassConnections === 0 ? '' : ` (${secondClassConnections} of the second class)`;
  const table = `connections: ${establishedConnections} established${second}, ${halfOpenConnections} half-open`;
  if (drops.length === 0) return [table, 'nothing dropped'];
  return [table, `dropped: ${drops.map(([reason, count]) => `${reason} ${count}`).join(', ')}`];
}

function formatAge(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m${seconds % 60}s`;
  return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m`;
}
