// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Daemon } from '../netns/daemon-bench.ts';
import { eventually, type Namespace, Network } from '../support/namespaces.ts';

export type Forwarding = 'direct-route' | 'masquerade';

export interface Service {
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
  /** Where real servers behind masquerade listen; direct-route changes no port. */
  readonly realPort: number;
  /** Seconds for which a client stays with one real server. */
  readonly persistence?: number;
}

export interface Takeover {
  /** CLOCK_MONOTONIC, milliseconds. */
  readonly killedAtMs: number;
  readonly activeAtMs: number;
}

export const virtualAddress = '10.9.0.10';

const directors = {
  a: { front: '10.9.0.2', back: '10.10.0.2', priority: 150 },
  b: { front: '10.9.0.3', back: '10.10.0.3', priority: 100 },
} as const;
const gatewayAddress = '10.10.0.1';
const clientAddress = '10.9.0.50';
const realServerHosts = [21, 22] as const;

/**
 * Two directors of the built daemon, two real servers and a client, in a namespace each. Behind masquerade the real
 * servers are on a network of their own, whose gateway is a virtual address of the pair.
 */
export class ClientLab {
  readonly directory = mkdtempSync(join(tmpdir(), 'baton-clients-'));
  readonly client: Namespace;
  readonly realServers: readonly Namespace[];
  readonly #forwarding: Forwarding;
  readonly #network = new Network();
  readonly #namespaces: Namespace[] = [];
  readonly #switches = new Map<'front' | 'back', Namespace>();
  readonly #directors: Readonly<Record<'a' | 'b', Namespace>>;
  readonly #daemons: Daemon[] = [];
  readonly #atEnd: (() => void)[] = [];

  constructor(forwarding: Forwarding) {
    this.#forwarding = forwarding;
    const behind = forwarding === 'masquerade' ? 'back' : 'front';
    this.#directors = { a: this.#director('a'), b: this.#director('b') };
    this.client = this.#namespace('client');
    this.#attach(this.client, 'front', clientAddress);
    this.realServers = realServerHosts.map((host) => {
      const namespace = this.#namespace(`rs${host}`);
      if (behind === 'front') {
        namespace.run('sysctl', '-qw', 'net.ipv4.conf.all.arp_ignore=1', 'net.ipv4.conf.all.arp_announce=2');
        namespace.ip('addr', 'add', `${virtualAddress}/32`, 'dev', 'lo');
      }
      this.#attach(namespace, behind, this.#realServerAddress(host));
      if (behind === 'back') namespace.ip('route', 'add', 'default', 'via', gatewayAddress);
      return namespace;
    });
  }

  /** The port on which a real server is to listen for a service. */
  realPort({ port, realPort }: Service): number {
    return this.#forwarding === 'masquerade' ? realPort : port;
  }

  write(name: string, text: string, mode = 0o600): string {
    const path = join(this.directory, name);
    writeFileSync(path, text, { mode });
    return path;
  }

  /** Has something done when the lab and all that runs in it is gone. */
  atEnd(task: () => void): void {
    this.#atEnd.push(task);
  }

  /** Starts the pair; resolves when the one is active and the other has its table. */
  async startPair(services: readonly Service[]): Promise<void> {
    const [a, b] = (['a', 'b'] as const).map((name) => {
      const file = this.write(`${name}.conf`, this.#configuration(name, services));
      return Daemon.run(this.#directors[name], join(this.directory, name), file);
    }) as [Daemon, Daemon];
    this.#daemons.push(a, b);
    await Promise.all([a.inSync(), b.inSync()]);
    await Promise.all([a.active(), b.backup()]);
  }

  /** Kills every process of the active director; resolves when the other is active. */
  async killActive(): Promise<Takeover> {
    const [a, b] = this.#daemons as [Daemon, Daemon];
    const killedAtMs = monotonicMs();
    await a.kill();
    await b.active();
    return { killedAtMs, activeAtMs: monotonicMs() };
  }

  /** The drops of the director that remains, for the message of a test that fails. */
  async drops(): Promise<string> {
    const { engine } = await this.#daemons.find((daemon) => !daemon.ended)!.status();
    const counted = Object.entries(engine.drops).filter(([, count]) => count > 0);
    return counted.map(([reason, count]) => `${reason} ${count}`).join(', ') || 'nothing';
  }

  /** Ends whatever runs in the namespaces, servers' children included, and removes them. */
  async remove(): Promise<void> {
    await Promise.all(this.#daemons.map((daemon) => daemon.kill()));
    for (const namespace of this.#namespaces) {
      for (const pid of pidsIn(namespace)) endProcess(pid);
    }
    await eventually(() => this.#namespaces.every((namespace) => pidsIn(namespace).length === 0));
    this.#network.remove();
    rmSync(this.directory, { recursive: true, force: true });
    for (const task of this.#atEnd) task();
  }

  #namespace(label: string): Namespace {
    const namespace = this.#network.namespace(label);
    this.#namespaces.push(namespace);
    return namespace;
  }

  #director(name: 'a' | 'b'): Namespace {
    const namespace = this.#namespace(name);
    namespace.run('sysctl', '-qw', 'net.ipv4.ip_forward=0');
    this.#attach(namespace, 'front', directors[name].front);
    if (this.#forwarding === 'masquerade') this.#attach(namespace, 'back', directors[name].back);
    return namespace;
  }

  #attach(namespace: Namespace, side: 'front' | 'back', address: string): void {
    let hub = this.#switches.get(side);
    if (hub === undefined) {
      hub = this.#namespace(`switch-${side}`);
      hub.ip('link', 'add', 'switch', 'type', 'bridge', 'mcast_snooping', '0');
      hub.ip('link', 'set', 'switch', 'up');
      this.#switches.set(side, hub);
    }
    const port = `port${address.split('.').at(-1)}`;
    this.#network.join([namespace, side], [hub, port]);
    hub.ip('link', 'set', port, 'master', 'switch');
    namespace.ip('addr', 'add', `${address}/24`, 'dev', side);
  }

  #realServerAddress(host: number): string {
    return this.#forwarding === 'masquerade' ? `10.10.0.${host}` : `10.9.0.${host}`;
  }

  #configuration(name: 'a' | 'b', services: readonly Service[]): string {
    const masquerade = this.#forwarding === 'masquerade';
    return [
      'global_defs {',
      ` router_id ${name}`,
      ' lvs_sync_daemon front web',
      '}',
      'vrrp_instance web {',
      ' interface front',
      ' virtual_router_id 7',
      ' version 3',
      ' advert_int 0.1',
      ` priority ${directors[name].priority}`,
      ' virtual_ipaddress {',
      `  ${virtualAddress}/32 dev front`,
      ...(masquerade ? [`  ${gatewayAddress}/24 dev back`] : []),
      ' }',
      '}',
      ...services.flatMap((service) => [
        `virtual_server ${virtualAddress} ${service.port} {`,
        ' lb_algo rr',
        ` lb_kind ${masquerade ? 'NAT' : 'DR'}`,
        ` protocol ${service.protocol}`,
        ...(service.persistence === undefined ? [] : [` persistence_timeout ${service.persistence}`]),
        ...realServerHosts.flatMap((host) => [
          ` real_server ${this.#realServerAddress(host)} ${this.realPort(service)} {`,
          '  weight 1',
          ' }',
        ]),
        '}',
      ]),
      '',
    ].join('\n');
  }
}

/** A program in a namespace, by what it prints and how it ends. */
export class Program {
  readonly child: ChildProcess;
  /** Lines of stdout and stderr, in the order in which they came. */
  readonly lines: string[] = [];
  readonly output: string[] = [];
  readonly ended: Promise<number | null>;
  readonly #name: string;

  constructor(namespace: Namespace, command: string, ...words: string[]) {
    this.#name = command;
    this.child = namespace.spawn(command, ...words);
    this.ended = once(this.child, 'close').then(([code]) => code as number | null);
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      this.lines.push(line);
      this.output.push(line);
    });
    createInterface({ input: this.child.stderr! }).on('line', (line) => this.lines.push(line));
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Waits until so many lines of it are like this; rejects when it ends before. */
  async says(pattern: RegExp, times = 1, timeoutMs = 10_000): Promise<void> {
    const found = (): boolean => this.lines.filter((line) => pattern.test(line)).length >= times;
    await eventually(() => found() || !this.running, timeoutMs).catch(() => undefined);
    if (!found()) throw new Error(`${this.#name} did not say ${pattern}:\n${this.lines.slice(-40).join('\n')}`);
  }

  /** Waits for its end, as long as is allowed; gives its output when it ended well. */
  async succeeds(timeoutMs = 15_000): Promise<readonly string[]> {
    let tooLate = false;
    const timer = setTimeout(() => {
      tooLate = true;
      this.child.kill('SIGKILL');
    }, timeoutMs);
    const code = await this.ended;
    clearTimeout(timer);
    if (code === 0) return this.output;
    const how = tooLate ? `had not ended after ${timeoutMs} ms` : `ended with ${code}`;
    throw new Error(`${this.#name} ${how}:\n${this.lines.slice(-40).join('\n')}`);
  }
}

/** The clock that processes of one machine share. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

function pidsIn(namespace: Namespace): number[] {
  const text = execFileSync('ip', ['netns', 'pids', namespace.name], { encoding: 'utf8' });
  return text.split('\n').filter(Boolean).map(Number);
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}
