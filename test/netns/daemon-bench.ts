// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { fetchStatus } from '../../src/control/client.ts';
import type { DirectorStatus, RealServerStatus, VirtualRouterStatus } from '../../src/director/status.ts';
import { close, MSG_DONTWAIT, pinnedMemory, recv } from '../../src/platform/linux/libc.ts';
import { interfaceFacts } from '../../src/platform/linux/netlink/interface-facts.ts';
import { bindPacketSocket, ETH_P_ALL, openPacketSocket } from '../../src/platform/linux/packet/packet-socket.ts';
import { eventually, type Namespace, Network } from '../support/namespaces.ts';

// The built daemon on real interfaces: the network in which tests start it, and the means to observe it.

export const baton = fileURLToPath(new URL('../../src/main.js', import.meta.url));

/** The virtual address of the pair. */
export const virtualAddress = '10.9.0.10';
export const directorAddresses = { a: '10.9.0.2', b: '10.9.0.3' } as const;
export const realServerAddresses = ['10.9.0.21', '10.9.0.22'] as const;

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface LogLine {
  readonly level: number;
  /** Milliseconds of the real-time clock. */
  readonly time: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** An element of `stdio` for `spawn`: a descriptor, or one of its words. */
export type Output = 'pipe' | 'ignore' | number;

export interface DaemonOptions {
  /** A command that runs the daemon, as `setpriv` does. */
  readonly prefix?: readonly string[];
  /** The script of another build. */
  readonly script?: string;
  /** Where stdout and stderr go instead of into `log`. */
  readonly output?: readonly [Output, Output];
}

/** Temporary files for one test file, in memory instead of on a disk. */
export class Workplace {
  readonly path = mkdtempSync('/run/baton-test-');

  /** Writes a file and returns its path. */
  write(name: string, text: string): string {
    const path = join(this.path, name);
    writeFileSync(path, text);
    return path;
  }

  directory(name: string): string {
    return join(this.path, name);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A process in a namespace, observed by its log and its exit. */
export class Daemon {
  readonly child: ChildProcess;
  readonly runDirectory: string;
  readonly log: LogLine[] = [];
  readonly finished: Promise<Finished>;
  readonly #output = { stdout: '', stderr: '' };

  /** Each daemon leads a process group of its own. */
  constructor(namespace: Namespace, runDirectory: string, args: readonly string[], options: DaemonOptions = {}) {
    const { prefix = [], script = baton, output = ['pipe', 'pipe'] } = options;
    this.runDirectory = runDirectory;
    const command = [...prefix, process.execPath, script, ...args, '--run-dir', runDirectory];
    this.child = spawn('ip', ['netns', 'exec', namespace.name, ...command], {
      stdio: ['ignore', ...output],
      detached: true,
    });
    for (const name of ['stdout', 'stderr'] as const) {
      const input = this.child[name];
      if (input === null) continue;
      createInterface({ input }).on('line', (line) => {
        this.#output[name] += `${line}\n`;
        if (name === 'stdout') this.log.push(JSON.parse(line) as LogLine);
      });
    }
    this.finished = once(this.child, 'close').then(([code, signal]) => ({ code, signal, ...this.#output }));
  }

  static run(namespace: Namespace, runDirectory: string, file: string, output?: readonly [Output, Output]): Daemon {
    return new Daemon(namespace, runDirectory, ['run', '-f', file], output === undefined ? {} : { output });
  }

  get pid(): number {
    return this.child.pid!;
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** The pids of its children; the only one is the vrrp process. */
  get children(): number[] {
    const text = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8');
    return text.trim().split(' ').filter(Boolean).map(Number);
  }

  /** Waits for a log line. Lines before `from` do not count. */
  logged(pattern: RegExp, from = 0, timeoutMs = 5000): Promise<LogLine> {
    return eventually(() => this.log.slice(from).find(({ msg }) => pattern.test(msg)), timeoutMs).catch(() => {
      throw new Error(`no line ${pattern} within ${timeoutMs} ms in:\n${this.story()}`);
    });
  }

  async runDirectoryTaken(): Promise<void> {
    const lock = join(this.runDirectory, 'lock');
    await eventually(() => existsSync(lock) && readFileSync(lock, 'utf8').length > 0);
  }

  running(): Promise<LogLine> {
    return this.logged(/^running$/);
  }

  story(): string {
    return `${this.log.map(({ level, msg, time }) => `${time} ${level} ${msg}`).join('\n')}\n${this.#output.stderr}`;
  }

  status(): Promise<DirectorStatus> {
    return fetchStatus(this.runDirectory);
  }

  async router(): Promise<VirtualRouterStatus> {
    return (await this.status()).virtualRouters[0]!;
  }

  async realServers(): Promise<readonly RealServerStatus[]> {
    return (await this.status()).services[0]!.realServers;
  }

  /** Waits until the status fulfils the condition. */
  async until(what: string, condition: (status: DirectorStatus) => boolean, timeoutMs = 5000): Promise<DirectorStatus> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const status = await this.status().catch(() => undefined);
      if (status !== undefined && condition(status)) return status;
      if (performance.now() > deadline) {
        throw new Error(`not ${what} within ${timeoutMs} ms:\n${this.story()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  active(): Promise<DirectorStatus> {
    return this.until('active', ({ virtualRouters }) => virtualRouters[0]?.state === 'active');
  }

  backup(): Promise<DirectorStatus> {
    return this.until('backup', ({ virtualRouters }) => virtualRouters[0]?.state === 'backup');
  }

  inSync(): Promise<DirectorStatus> {
    return this.until('in sync', ({ sync }) => sync.state === 'inSync' && sync.peers.length > 0);
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** For `after`: leaves no process of it behind. */
  async kill(): Promise<void> {
    if (!this.ended) {
      try {
        process.kill(-this.pid, 'SIGKILL');
      } catch {
        // It has just ended by itself.
      }
    }
    await this.finished;
  }
}

/** Frames that pass an interface, as a host beside it sees them. */
class Capture {
  readonly #fd: number;
  readonly #buffer = pinnedMemory(2048);

  constructor(namespace: Namespace, interfaceName: string) {
    this.#fd = namespace.enter(() => {
      const fd = openPacketSocket();
      bindPacketSocket(fd, interfaceFacts(interfaceName).index, ETH_P_ALL, interfaceName);
      return fd;
    });
  }

  /** The next VRRP advertisement that has arrived: its sender and its priority. */
  nextAdvertisement(): { readonly source: string; readonly priority: number } | undefined {
    for (;;) {
      const length = recv(this.#fd, this.#buffer.address, 2048, MSG_DONTWAIT);
      if (length < 0) return undefined;
      const { bytes } = this.#buffer;
      const isVrrp = length > 36 && bytes[12] === 8 && bytes[13] === 0 && bytes[23] === 112;
      if (isVrrp) return { source: bytes.slice(26, 30).join('.'), priority: bytes[36]! };
    }
  }

  /** Waits for priority 0 from a director. */
  farewell(source: string, timeoutMs = 3000): Promise<true> {
    return eventually(() => {
      for (let next = this.nextAdvertisement(); next !== undefined; next = this.nextAdvertisement()) {
        if (next.source === source && next.priority === 0) return true;
      }
      return undefined;
    }, timeoutMs);
  }

  close(): void {
    close(this.#fd);
  }
}

/** A TCP session from the client's namespace: the real server answers with its name, followed by the question. */
class Session {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #ended = false;

  constructor(namespace: Namespace, port: number) {
    this.#child = namespace.spawn(process.execPath, '-e', sessionScript, virtualAddress, String(port));
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#lines.push(line));
    this.#child.once('close', () => {
      this.#ended = true;
    });
  }

  /** Resolves with the answer; rejects when the session is closed or silent. */
  async ask(question: string, timeoutMs = 5000): Promise<string> {
    const from = this.#lines.length;
    this.#child.stdin!.write(`${question}\n`);
    await eventually(() => this.#ended || this.#lines.length > from, timeoutMs);
    if (this.#lines.length === from) throw new Error(`the session broke at ${question}`);
    return this.#lines[from]!;
  }

  get ended(): boolean {
    return this.#ended;
  }

  async close(): Promise<void> {
    const gone = this.#ended ? undefined : once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

const sessionScript = `
const socket = require('node:net').connect(Number(process.argv[2]), process.argv[1]);
socket.on('error', () => process.exit(1));
socket.on('close', () => process.exit(0));
process.stdin.pipe(socket).pipe(process.stdout);
`;

// A question arrives in one piece: sessions ask one at a time. Health checks end by a reset.
const realServerScript = `
const [name, port] = process.argv.slice(1);
require('node:net').createServer((socket) => {
  socket.on('error', () => undefined);
  socket.on('data', (question) => socket.write(name + ' ' + question));
}).listen(Number(port), () => console.log('listening'));
`;

/**
 * Two directors, two real servers (direct-route) and a client on one switch, in a namespace each. Tests listen to the
 * frames of all of them on the switch.
 */
export class PairBench {
  readonly network = new Network();
  readonly workplace = new Workplace();
  readonly hub: Namespace;
  readonly a: Namespace;
  readonly b: Namespace;
  readonly client: Namespace;
  readonly realServers: readonly Namespace[];
  readonly #daemons: Daemon[] = [];
  #started = 0;
  readonly #sessions: Session[] = [];
  readonly #servers: ChildProcess[] = [];

  constructor() {
    this.hub = this.network.namespace('hub');
    this.hub.ip('link', 'add', 'switch', 'type', 'bridge');
    this.hub.ip('link', 'set', 'switch', 'up');
    this.a = this.#host('a', directorAddresses.a);
    this.b = this.#host('b', directorAddresses.b);
    this.client = this.#host('client', '10.9.0.50');
    this.realServers = realServerAddresses.map((address, index) => this.#host(`rs${index}`, address));
    for (const namespace of this.realServers) {
      namespace.run('sysctl', '-qw', 'net.ipv4.conf.all.arp_ignore=1', 'net.ipv4.conf.all.arp_announce=2');
      namespace.ip('addr', 'add', `${virtualAddress}/32`, 'dev', 'lo');
    }
  }

  start(director: 'a' | 'b', configuration: string, output?: readonly [Output, Output]): Daemon {
    this.#started += 1;
    const file = this.workplace.write(`${director}.conf`, configuration);
    const daemon = Daemon.run(this[director], this.workplace.directory(`${director}${this.#started}`), file, output);
    this.#daemons.push(daemon);
    return daemon;
  }

  reload(daemon: Daemon, director: 'a' | 'b', configuration: string): number {
    this.workplace.write(`${director}.conf`, configuration);
    const from = daemon.log.length;
    daemon.signal('SIGHUP');
    return from;
  }

  /** Resolves when it listens. */
  async startRealServer(index: 0 | 1, port = 80): Promise<ChildProcess> {
    const words = ['-e', realServerScript, `rs${index}`, String(port)];
    const child = this.realServers[index]!.spawn(process.execPath, ...words);
    this.#servers.push(child);
    await once(child.stdout!, 'data');
    return child;
  }

  session(port = 80): Session {
    const session = new Session(this.client, port);
    this.#sessions.push(session);
    return session;
  }

  capture(): Capture {
    return new Capture(this.hub, 'switch');
  }

  /** For `afterEach`: directors and sessions end, the network stays. */
  async clear(): Promise<void> {
    await Promise.all(this.#sessions.splice(0).map((session) => session.close()));
    await Promise.all(this.#daemons.splice(0).map((daemon) => daemon.kill()));
  }

  async remove(): Promise<void> {
    await this.clear();
    for (const child of this.#servers.splice(0)) child.kill('SIGKILL');
    this.network.remove();
    this.workplace.remove();
  }

  #host(label: string, address: string): Namespace {
    const namespace = this.network.namespace(label);
    this.network.join([namespace, 'eth0'], [this.hub, `to-${label}`]);
    this.hub.ip('link', 'set', `to-${label}`, 'master', 'switch');
    namespace.ip('addr', 'add', `${address}/24`, 'dev', 'eth0');
    return namespace;
  }
}

export interface PairOptions {
  readonly priority: number;
  readonly realServers?: readonly string[];
  readonly ports?: readonly number[];
  /** Further lines of the vrrp_instance. */
  readonly instance?: readonly string[];
  /** Further virtual addresses, as `ADDRESS/LENGTH dev INTERFACE`. */
  readonly addresses?: readonly string[];
  readonly sync?: string | false;
  readonly check?: boolean;
  readonly weights?: readonly number[];
  readonly scheduler?: string;
}

export function pairConfiguration(options: PairOptions): string {
  const { priority, realServers = realServerAddresses, ports = [80], instance = [], addresses = [] } = options;
  const { sync = 'eth0 web id 7', check = false, weights = [], scheduler = 'rr' } = options;
  const checker = ['  TCP_CHECK {', '   connect_timeout 1', '   retry 0', '  }'];
  return [
    'global_defs {',
    ' router_id director',
    ...(sync === false ? [] : [` lvs_sync_daemon ${sync}`]),
    '}',
    'vrrp_instance web {',
    ' interface eth0',
    ' virtual_router_id 7',
    ' version 3',
    ' advert_int 0.1',
    ` priority ${priority}`,
    ...instance.map((line) => ` ${line}`),
    ' virtual_ipaddress {',
    ...[`${virtualAddress}/32`, ...addresses].map((line) => `  ${line}`),
    ' }',
    '}',
    ...ports.flatMap((port) => [
      `virtual_server ${virtualAddress} ${port} {`,
      ` lb_algo ${scheduler}`,
      ' lb_kind DR',
      ' protocol TCP',
      ' delay_loop 0.2',
      ...realServers.flatMap((address, index) => [
        ` real_server ${address} ${port} {`,
        `  weight ${weights[index] ?? 1}`,
        ...(check ? checker : []),
        ' }',
      ]),
      '}',
    ]),
    '',
  ].join('\n');
}

/** The IPv4 addresses on an interface. */
export function addressesOn(namespace: Namespace, interfaceName: string): string[] {
  const words = ['-n', namespace.name, '-4', '-json', 'addr', 'show', 'dev', interfaceName];
  const links = JSON.parse(execFileSync('ip', words, { encoding: 'utf8' })) as {
    addr_info?: { local?: string }[];
  }[];
  return links.flatMap(({ addr_info: list = [] }) => list.flatMap(({ local }) => (local === undefined ? [] : [local])));
}
