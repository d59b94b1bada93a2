// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fetchStatus } from '../src/control/client.ts';
import { forwardingMethods } from '../src/model/forwarding-method.ts';
import { start } from './command.ts';
import { addresses, flowPort, httpPort, inside, namespaces, processors, realServers } from './ground.ts';

export interface Contestant {
  readonly name: string;
  /** Begins to balance; resolves when it does. */
  open(): Promise<void>;
  close(): Promise<void>;
  /** The processor time that its processes have had, in milliseconds; the kernel's part for packets is not in it. */
  processTimeMs(): number;
}

const mainModule = fileURLToPath(new URL('../src/main.js', import.meta.url));
const readyTimeoutMs = 20_000;
/** USER_HZ of proc(5). */
const tickMs = 10;
const privateDirectory = '/run';

/** baton's portable engine, alone and active. */
export function baton(method: 'direct-route' | 'masquerade'): Contestant {
  let child: ChildProcess | undefined;
  let directory = '';
  return {
    name: method,
    open: async () => {
      directory = mkdtempSync(join(privateDirectory, 'baton-'));
      const [file, runDirectory] = [join(directory, 'keepalived.conf'), join(directory, 'run')];
      mkdirSync(runDirectory, { mode: 0o700 });
      writeFileSync(file, batonConfiguration(method));
      const command = [process.execPath, mainModule, 'run', '-f', file, '--run-dir', runDirectory];
      child = start(namespaces.balancer, processors.balancer, [...command, '--engine', 'portable']);
      child.stdout!.resume();
      const givenUpMs = performance.now() + readyTimeoutMs;
      while (performance.now() < givenUpMs) {
        const status = await fetchStatus(runDirectory).catch(() => undefined);
        if (status?.virtualRouters.some(({ state }) => state === 'active')) return;
        await delay(50);
      }
      throw new Error(`baton has not become active within ${readyTimeoutMs / 1000} s`);
    },
    close: async () => {
      await end(child);
      rmSync(directory, { recursive: true, force: true });
    },
    processTimeMs: () => familyTimeMs(child?.pid),
  };
}

/** The kernel's own: destination NAT to the real servers in turn, with connection tracking. */
export function nftables(): Contestant {
  return {
    name: 'nftables',
    open: async () => {
      await inside(namespaces.balancer, ['nft', '-f', '-'], nftablesRules());
      await inside(namespaces.balancer, ['tee', '/proc/sys/net/ipv4/ip_forward'], '1');
    },
    close: async () => {
      await inside(namespaces.balancer, ['tee', '/proc/sys/net/ipv4/ip_forward'], '0');
      await inside(namespaces.balancer, ['nft', 'flush', 'ruleset']);
    },
    processTimeMs: () => 0,
  };
}

/** HAProxy as it is used at layer 4. */
export function haproxy(): Contestant {
  let child: ChildProcess | undefined;
  const device = [`${addresses.virtual}/32`, 'dev', 'front'];
  return {
    name: 'haproxy',
    open: async () => {
      await inside(namespaces.balancer, ['ip', 'address', 'add', ...device]);
      const file = join(privateDirectory, 'haproxy-balancer.cfg');
      writeFileSync(file, haproxyConfiguration());
      child = start(namespaces.balancer, processors.balancer, ['haproxy', '-db', '-q', '-f', file]);
      await delay(500);
    },
    close: async () => {
      await end(child);
      await inside(namespaces.balancer, ['ip', 'address', 'delete', ...device]);
    },
    processTimeMs: () => familyTimeMs(child?.pid),
  };
}

/** The real servers of the HTTP measurements: HAProxy again, answering by itself. */
export async function startWebServers(): Promise<ChildProcess> {
  const file = join(privateDirectory, 'haproxy-servers.cfg');
  const answer = 'http-request return status 200 content-type text/plain string hello';
  writeFileSync(
    file,
    `global\n  maxconn 8000\n  nbthread 1\ndefaults\n  mode http\n  timeout client 30s\nfrontend web\n  bind :${httpPort} backlog 8192\n  ${answer}\n`,
  );
  const child = start(namespaces.servers, processors.servers, ['haproxy', '-db', '-q', '-f', file]);
  await delay(500);
  return child;
}

export async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

/** In direct-route the servers only count what arrives: their answers would not come this way. */
function batonConfiguration(method: 'direct-route' | 'masquerade'): string {
  const service = (port: number, protocol: string): string[] => [
    `virtual_server ${addresses.virtual} ${port} {`,
    '  lb_algo rr',
    `  lb_kind ${forwardingMethods[method].keyword}`,
    `  protocol ${protocol}`,
    ...realServers.map((address) => `  real_server ${address} ${port} {\n    weight 1\n  }`),
    '}',
  ];
  return [
    'global_defs {\n  router_id bench\n  vrrp_version 3\n}',
    'vrrp_instance bench {\n  state BACKUP\n  interface front\n  virtual_router_id 51\n  priority 150\n  advert_int 0.1',
    `  virtual_ipaddress {\n    ${addresses.virtual}/24 dev front\n  }\n}`,
    ...service(flowPort, 'UDP'),
    ...service(httpPort, 'TCP'),
    '',
  ].join('\n');
}

function nftablesRules(): string {
  const choice = `numgen inc mod ${realServers.length} map { ${realServers.map((address, i) => `${i} : ${address}`).join(', ')} }`;
  return `table ip balancer {
  chain prerouting {
    type nat hook prerouting priority dstnat
    ip daddr ${addresses.virtual} udp dport ${flowPort} dnat to ${choice}
    ip daddr ${addresses.virtual} tcp dport ${httpPort} dnat to ${choice}
  }
}
`;
}

function haproxyConfiguration(): string {
  const servers = realServers.map((address, i) => `  server s${i} ${address}:${httpPort}`).join('\n');
  const timeouts = '  timeout connect 5s\n  timeout client 30s\n  timeout server 30s';
  return `global\n  maxconn 8000\n  nbthread 1\ndefaults\n  mode tcp\n${timeouts}\nlisten web\n  bind ${addresses.virtual}:${httpPort} backlog 8192\n  balance roundrobin\n${servers}\n`;
}

/** A process and its children; nothing of it is set in short-lived processes. */
function familyTimeMs(pid: number | undefined): number {
  if (pid === undefined) return 0;
  try {
    // The name stands in brackets and may contain anything; after it, utime and stime are fields 12 and 13.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)!.split(' ');
    const own = (Number(fields[11]) + Number(fields[12])) * tickMs;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean);
    return children.reduce((sum, child) => sum + familyTimeMs(Number(child)), own);
  } catch {
    return 0;
  }
}
