// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Family, IpAddress } from '../../src/lib/ip-address.ts';
import type { FlatRouter } from '../support/election.ts';
import { eventually, type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';
import { type Claim, readClaims, readComplaints } from './wire-record.ts';

export interface Variant {
  readonly family: Family;
  readonly version: 2 | 3;
  readonly intervalMs: number;
  readonly unicast: boolean;
}

/** Why elections against keepalived cannot be held here; false when they can. */
export function interopUnavailable(): string | false {
  const missing = namespacesUnavailable();
  if (missing !== false) return missing;
  for (const [command, option] of [
    ['keepalived', '--version'],
    ['tshark', '--version'],
    ['tcpdump', '--version'],
  ] as const) {
    try {
      execFileSync(command, [option], { stdio: 'ignore', env: { ...process.env, PATH: searchPath } });
    } catch {
      return `needs ${command} (Debian's package of that name)`;
    }
  }
  return false;
}

const searchPath = `${process.env.PATH}:/usr/sbin:/sbin`;
const contenderScript = fileURLToPath(new URL('contender.js', import.meta.url));
const interfaceName = 'eth0';
const transitionMsMax = 20_000;

const plan = {
  ipv4: { baton: '10.8.0.1', keepalived: '10.8.0.2', length: 24, virtual: ['10.8.0.100/24'] },
  // The eighth bit tells an unsigned comparison from a signed one.
  ipv6: { baton: 'fe80::7f', keepalived: 'fe80::80', length: 64, virtual: ['fe80::100/64', '2001:db8::100/64'] },
} as const;

/** baton and keepalived on one bridge, with a capture of all that reaches or leaves baton. */
export class Arena {
  readonly #variant: Variant;
  readonly #network = new Network();
  readonly #directory = mkdtempSync(join(tmpdir(), 'baton-interop-'));
  readonly #wire: Namespace;
  readonly #left: Namespace;
  readonly #right: Namespace;
  readonly #capture: ChildProcess;
  readonly #capturing: Promise<void>;
  readonly macs: { readonly baton: string; readonly keepalived: string };
  #baton: Contender | undefined;
  #keepalived: Contender | undefined;

  constructor(variant: Variant) {
    this.#variant = variant;
    [this.#wire, this.#left, this.#right] = ['wire', 'baton', 'keepalived'].map((label) =>
      this.#network.namespace(label),
    ) as [Namespace, Namespace, Namespace];
    this.#wire.ip('link', 'add', 'bridge', 'type', 'bridge', 'mcast_snooping', '0');
    for (const [namespace, port] of [
      [this.#left, 'to-baton'],
      [this.#right, 'to-keepalived'],
    ] as const) {
      this.#network.join([namespace, interfaceName], [this.#wire, port]);
      this.#wire.ip('link', 'set', port, 'master', 'bridge');
    }
    this.#wire.ip('link', 'set', 'bridge', 'up');
    this.#address(this.#left, plan[variant.family].baton);
    this.#address(this.#right, plan[variant.family].keepalived);
    this.macs = { baton: this.#left.macAddress(interfaceName), keepalived: this.#right.macAddress(interfaceName) };
    // Of its own port: what baton sends, and what it is sent.
    this.#capture = this.#wire.spawn('tcpdump', '-i', 'to-baton', '-U', '--immediate-mode', '-w', this.#captureFile);
    this.#capturing = until(this.#capture, this.#capture.stderr!, (line) => line.includes('listening on'));
  }

  async ready(): Promise<void> {
    await this.#capturing;
  }

  /** Starts baton; resolves when it is in the state. */
  async startBaton(priority: number, state: 'backup' | 'holding', changes: Partial<FlatRouter> = {}): Promise<void> {
    const router = JSON.stringify({ ...this.#router(priority), ...changes });
    const child = this.#left.spawn(process.execPath, contenderScript, router);
    this.#baton = new Contender(child, child.stdout!, (line) => {
      const { state: entered, problem } = JSON.parse(line) as { state?: string; problem?: string };
      return entered ?? `problem: ${problem}`;
    });
    await this.#baton.enters(state);
  }

  async startKeepalived(priority: number, state: 'backup' | 'holding', options: string[] = []): Promise<void> {
    const file = join(this.#directory, 'keepalived.conf');
    writeFileSync(file, this.#keepalivedConfiguration(priority, options));
    const pidFiles = ['-p', join(this.#directory, 'keepalived.pid'), '-r', this.#vrrpPidFile];
    const child = spawn(
      'ip',
      ['netns', 'exec', this.#right.name, 'keepalived', '-f', file, '-n', '-l', '-D', '-P', ...pidFiles],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH: searchPath } },
    );
    child.stdout!.resume();
    this.#keepalived = new Contender(child, child.stderr!, (line) => {
      if (/Entering MASTER STATE/.test(line)) return 'holding';
      return /Entering BACKUP STATE/.test(line) ? 'backup' : undefined;
    });
    await this.#keepalived.enters(state);
  }

  /** Lets the active router be active for long enough that the record can tell it from a transition. */
  reigns(forMs: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, forMs));
  }

  /** Takes keepalived off the bridge: neither hears the other. */
  cut(): void {
    this.#wire.ip('link', 'set', 'to-keepalived', 'nomaster');
  }

  join(): void {
    this.#wire.ip('link', 'set', 'to-keepalived', 'master', 'bridge');
  }

  batonEnters(state: 'backup' | 'holding'): Promise<void> {
    return this.#baton!.enters(state);
  }

  /** The states that baton has said so far. */
  get batonEntered(): readonly string[] {
    return this.#baton!.entered;
  }

  keepalivedEnters(state: 'backup' | 'holding'): Promise<void> {
    return this.#keepalived!.enters(state);
  }

  async stopBaton(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await this.#baton!.end(signal);
    this.#baton = undefined;
  }

  async stopKeepalived(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (signal === 'SIGKILL') {
      // Its child would resign when the parent dies, and the parent start another when the child dies.
      const child = Number(readFileSync(this.#vrrpPidFile, 'utf8'));
      this.#keepalived!.signal('SIGSTOP');
      process.kill(child, 'SIGKILL');
    }
    await this.#keepalived!.end(signal);
    this.#keepalived = undefined;
  }

  /** Ends the capture. Who claimed the addresses when, and what tshark has to say about baton's packets. */
  async record(): Promise<{ claims: Claim[]; complaints: string[]; advertisements: number }> {
    const ended = new Promise((resolve) => this.#capture.once('exit', resolve));
    this.#capture.kill('SIGINT');
    await ended;
    return { claims: readClaims(this.#captureFile), ...readComplaints(this.#captureFile, this.macs.baton) };
  }

  async close(): Promise<void> {
    for (const contender of [this.#baton, this.#keepalived]) await contender?.end('SIGTERM');
    if (this.#capture.exitCode === null) this.#capture.kill('SIGKILL');
    this.#network.remove();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get #captureFile(): string {
    return join(this.#directory, 'wire.pcap');
  }

  get #vrrpPidFile(): string {
    return join(this.#directory, 'vrrp.pid');
  }

  #address(namespace: Namespace, address: string): void {
    if (this.#variant.family === 'ipv6') {
      namespace.ip('link', 'set', interfaceName, 'addrgenmode', 'none');
      namespace.run('sysctl', '-qw', `net.ipv6.conf.${interfaceName}.disable_ipv6=0`);
      namespace.ip('address', 'add', `${address}/64`, 'dev', interfaceName, 'nodad');
    } else namespace.ip('address', 'add', `${address}/24`, 'dev', interfaceName);
  }

  #router(priority: number): FlatRouter {
    const { family, version, intervalMs, unicast } = this.#variant;
    const { keepalived, virtual } = plan[family];
    // keepalived 2.2.7 leaves the hop limit of its IPv6 unicast to the kernel, which is 64.
    const peers = [{ address: keepalived as IpAddress, minTtl: family === 'ipv6' ? 64 : 255, maxTtl: 255 }];
    return {
      name: 'interop',
      interface: interfaceName,
      family,
      vrid: 51,
      version,
      priority,
      advertIntervalMs: intervalMs,
      startAs: 'backup',
      preempt: true,
      preemptDelayMs: 0,
      addresses: virtual.map((place) => {
        const [address, length] = place.split('/') as [IpAddress, string];
        return { address, prefixLength: Number(length), interface: interfaceName, install: true };
      }),
      announcement: { repeat: 5, delayMs: 5000, refreshMs: 0, refreshRepeat: 1, intervalMs: 0 },
      leaseSlot: 0,
      ...(unicast ? { unicastPeers: peers } : {}),
    };
  }

  #keepalivedConfiguration(priority: number, options: string[]): string {
    const { family, version, intervalMs, unicast } = this.#variant;
    const { baton, keepalived, virtual } = plan[family];
    return [
      'global_defs {',
      '  router_id interop',
      `  vrrp_version ${version}`,
      '}',
      'vrrp_instance interop {',
      '  state BACKUP',
      `  interface ${interfaceName}`,
      '  virtual_router_id 51',
      `  priority ${priority}`,
      `  advert_int ${intervalMs / 1000}`,
      ...(unicast ? [`  unicast_src_ip ${keepalived}`, '  unicast_peer {', `    ${baton}`, '  }'] : []),
      ...options.map((option) => `  ${option}`),
      '  virtual_ipaddress {',
      ...virtual.map((address) => `    ${address}`),
      '  }',
      '}',
      '',
    ].join('\n');
  }
}

/** A process that says in lines which state it enters. */
class Contender {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #lines: string[] = [];
  readonly entered: string[] = [];

  constructor(child: ChildProcess, output: NodeJS.ReadableStream, stateOf: (line: string) => string | undefined) {
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once('exit', resolve));
    onLines(output, (line) => {
      this.#lines.push(line);
      const state = stateOf(line);
      if (state !== undefined) this.entered.push(state);
    });
  }

  /** Only the last state counts: earlier ones have been waited for already, or are of no interest. */
  async enters(state: string): Promise<void> {
    try {
      await eventually(() => this.entered.at(-1) === state, transitionMsMax);
    } catch {
      throw new Error(`never entered ${state}:\n${this.#lines.join('\n')}`);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    await this.#exited;
  }
}

function onLines(stream: NodeJS.ReadableStream, take: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) take(line);
  });
}

function until(child: ChildProcess, stream: NodeJS.ReadableStream, found: (line: string) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the capture ended (${code})`)));
    onLines(stream, (line) => {
      if (found(line)) resolve();
    });
  });
}
