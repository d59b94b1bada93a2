// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fetchConnections, fetchStatus } from '../../src/control/client.ts';
import { start } from '../command.ts';
import { end } from '../contestants.ts';
import { namespaces } from '../ground.ts';
import { servers, virtualAddress } from './ground.ts';
import type { Stage, Traffic } from './stage.ts';

const connections = 1_000_000;
const port = 7003;
const readyTimeoutMs = 20_000;
const mainModule = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** A real `baton run --engine xdp` with one million established connections: its memory while they are listed. */
export async function measureDirector(stage: Stage): Promise<void> {
  const directory = mkdtempSync('/run/baton-');
  const runDirectory = join(directory, 'run');
  mkdirSync(runDirectory, { mode: 0o700 });
  const file = join(directory, 'keepalived.conf');
  writeFileSync(file, configuration());
  const command = [process.execPath, mainModule, 'run', '-f', file, '--run-dir', runDirectory, '--engine', 'xdp'];
  const child = start(namespaces.balancer, 1, command);
  child.stdout!.pipe(process.stderr);
  try {
    await active(runDirectory);
    say(`director alone: ${memory(child)}`);
    const traffic = { family: 'ipv4', protocol: 'tcp', port, flows: connections, order: 'sequence' } as const;
    const open: Traffic = { ...traffic, flags: 'handshake', packetsPerFlow: 2, packets: 2 * connections };
    for (let attempt = 0; attempt < 2; attempt += 1) await stage.send(open);
    say(`with ${await established(runDirectory)} established connections: ${memory(child)}`);
    const sampler = setInterval(() => peaks(child), 50);
    const startMs = performance.now();
    let listed = 0;
    for await (const _ of fetchConnections(runDirectory)) listed += 1;
    clearInterval(sampler);
    say(`/connections listed ${listed} in ${((performance.now() - startMs) / 1000).toFixed(1)} s: ${memory(child)}`);
    await delay(2_000);
    say(`two seconds later: ${memory(child)}`);
  } finally {
    await end(child);
    rmSync(directory, { recursive: true, force: true });
  }
}

function configuration(): string {
  return [
    'global_defs {\n  router_id bench\n  vrrp_version 3\n  lvs_sync_daemon front bench\n}',
    'vrrp_instance bench {\n  state BACKUP\n  interface front\n  virtual_router_id 51\n  priority 150\n  advert_int 0.1',
    `  virtual_ipaddress {\n    ${virtualAddress.ipv4}/24 dev front\n  }\n}`,
    `virtual_server ${virtualAddress.ipv4} ${port} {\n  lb_algo rr\n  lb_kind NAT\n  protocol TCP`,
    ...servers.two.ipv4.map((address) => `  real_server ${address} ${port} {\n    weight 1\n  }`),
    '}\n',
  ].join('\n');
}

async function active(runDirectory: string): Promise<void> {
  const givenUpMs = performance.now() + readyTimeoutMs;
  while (performance.now() < givenUpMs) {
    const status = await fetchStatus(runDirectory).catch(() => undefined);
    if (status?.virtualRouters.some(({ state }) => state === 'active')) return;
    await delay(50);
  }
  throw new Error(`baton has not become active within ${readyTimeoutMs / 1000} s`);
}

async function established(runDirectory: string): Promise<number> {
  const status = (await fetchStatus(runDirectory)) as unknown as { engine?: { establishedConnections?: number } };
  return status.engine?.establishedConnections ?? 0;
}

const peakOf = new Map<number, number>();

function peaks(child: ChildProcess): void {
  for (const { pid, bytes } of family(child.pid!)) peakOf.set(pid, Math.max(peakOf.get(pid) ?? 0, bytes));
}

/** Resident bytes of the director and of the processes that it has started. */
function memory(child: ChildProcess): string {
  peaks(child);
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
  return family(child.pid!)
    .map(
      ({ pid, bytes, own }) =>
        `process ${pid === child.pid ? 'director' : 'vrrp'} ${mib(bytes)} MiB (${mib(own)} its own; highest ${mib(peakOf.get(pid) ?? 0)})`,
    )
    .join(', ');
}

function family(pid: number): { pid: number; bytes: number; own: number }[] {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024;
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number),
  );
  return [{ pid, bytes: kib('VmRSS'), own: kib('RssAnon') }, ...children.flatMap((child) => family(child))];
}

function say(sentence: string): void {
  process.stdout.write(`${sentence}\n`);
}
