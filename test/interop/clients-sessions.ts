// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { eventually, type Namespace, namespacesUnavailable } from '../support/namespaces.ts';
import { type ClientLab, Program, type Service, virtualAddress } from './clients-lab.ts';

// The programs: what serves on the real servers, and what the client starts through the virtual address.

export const services = {
  ssh: { port: 22, realPort: 2222, protocol: 'TCP' },
  dns: { port: 53, realPort: 5353, protocol: 'UDP' },
  web: { port: 80, realPort: 8080, protocol: 'TCP' },
  // One test is two connections, and both must come to the same server.
  iperf: { port: 5201, realPort: 15201, protocol: 'TCP', persistence: 60 },
} as const satisfies Readonly<Record<string, Service>>;

export const shellLines = 250;
export const copyLength = 50 * 1024 * 1024;
export const iperfSeconds = 8;

/** An interval, as the server of iperf3 prints it: from, to, amount, unit. */
export const iperfLine = /^\[ *\d+\] +([\d.]+)-([\d.]+) +sec +([\d.]+) (\w*Bytes)/;

const digPauseMs = 20;
const searchPath = `${process.env.PATH}:/usr/sbin:/sbin`;
/** sshd gives up its privileges into this directory, whose place is compiled in. */
const separationDirectory = '/run/sshd';

/** Why these clients cannot be tried here; false when they can. */
export function clientsUnavailable(): string | false {
  const missing = namespacesUnavailable();
  if (missing !== false) return missing;
  const needed = {
    sshd: 'openssh-server',
    ssh: 'openssh-client',
    scp: 'openssh-client',
    'ssh-keygen': 'openssh-client',
    iperf3: 'iperf3',
    dnsmasq: 'dnsmasq-base',
    dig: 'dnsutils',
  };
  for (const [command, packageName] of Object.entries(needed)) {
    if (programPath(command) === undefined) return `needs ${command} (Debian's package ${packageName})`;
  }
  return false;
}

/** Starts every server on every real server; resolves when they listen. Gives the servers of iperf3. */
export async function startServers(lab: ClientLab): Promise<readonly Program[]> {
  const sshd = prepareSsh(lab);
  const web = fileURLToPath(new URL('clients-web-server.js', import.meta.url));
  const dns = dnsWords(lab.realPort(services.dns));
  const iperf = iperfWords(lab.realPort(services.iperf));
  const iperfServers = lab.realServers.map((host) => new Program(host, programPath('iperf3')!, ...iperf));
  const listening = lab.realServers.flatMap((host) => [
    new Program(host, programPath('sshd')!, '-D', '-e', '-f', sshd).says(/^Server listening on 0\.0\.0\.0 port/),
    new Program(host, programPath('dnsmasq')!, ...dns).says(/dnsmasq\[\d+\]: started/),
    new Program(host, process.execPath, web, String(lab.realPort(services.web))).says(/^listening$/),
  ]);
  await Promise.all([...listening, ...iperfServers.map((server) => server.says(/^Server listening/))]);
  return iperfServers;
}

/** The programs that the client runs at the same time. Each is under way when it is returned. */
export interface Sessions {
  readonly shell: Program;
  readonly copy: { readonly program: Program; readonly source: string; readonly target: string };
  readonly iperf: Program;
  readonly http: Program;
  readonly websocket: Program;
  readonly dns: Program;
  readonly dig: DigLoop;
}

export async function startSessions(lab: ClientLab, iperfServers: readonly Program[]): Promise<Sessions> {
  const { client } = lab;
  const web = String(services.web.port);
  const source = join(lab.directory, 'source');
  const target = join(lab.directory, 'target');
  writeFileSync(source, randomBytes(copyLength));
  const iperfEnd = ['-p', String(services.iperf.port), '-t', String(iperfSeconds), '-b', '50M', '-J'];
  const iperf = new Program(client, programPath('iperf3')!, '-c', virtualAddress, '--get-server-output', ...iperfEnd);
  const shell = new Program(
    client,
    programPath('ssh')!,
    ...sshOptions(lab),
    `root@${virtualAddress}`,
    `for i in $(seq 1 ${shellLines}); do echo "line $i"; sleep 0.02; done`,
  );
  const speed = ['-l', String(8 * 8 * 1024)];
  const copyWords = [...sshOptions(lab), ...speed, source, `root@${virtualAddress}:${target}`];
  const copy = { program: new Program(client, programPath('scp')!, ...copyWords), source, target };
  const [http, websocket] = ['http', 'websocket'].map((kind) => nodeClient(client, kind, virtualAddress, web));
  const dns = nodeClient(client, 'dns', virtualAddress);
  const dig = new DigLoop(client);
  await Promise.all([
    shell.says(/^line 20$/),
    eventually(() => existsSync(target) && statSync(target).size > 1_000_000),
    ...[http!, websocket!, dns].map((program) => program.says(/^under way$/)),
    eventually(() => dig.answers.length > 5),
    Promise.any(iperfServers.map((server) => server.says(iperfLine))),
  ]);
  return { shell, copy, iperf, http: http!, websocket: websocket!, dns, dig };
}

/** Asks with dig, one question after the other: each a flow of its own, repeated by dig after a second's silence. */
class DigLoop {
  readonly answers: { readonly question: string; readonly answer: string }[] = [];
  readonly #done: Promise<void>;
  #stopping = false;

  constructor(client: Namespace) {
    this.#done = this.#run(client);
    this.#done.catch(() => undefined);
  }

  /** Resolves when the last question has its answer; rejects when one had none. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #run(client: Namespace): Promise<void> {
    for (let number = 0; !this.#stopping; number += 1) {
      const question = `10.1.${number >> 8}.${number & 255}`;
      const name = `host-${question.replaceAll('.', '-')}.pair.test`;
      const words = [`@${virtualAddress}`, '+short', '+time=1', '+tries=4', '+retry=3', name, 'A'];
      const answer = await new Program(client, programPath('dig')!, ...words).succeeds();
      this.answers.push({ question, answer: answer.filter((line) => !line.startsWith(';')).join() });
      await delay(digPauseMs);
    }
  }
}

/** Tells a client that goes on until it is told; gives what it reports. */
export async function finish(program: Program): Promise<unknown> {
  program.child.stdin!.on('error', () => undefined).write('finish\n');
  return JSON.parse((await program.succeeds()).at(-1)!);
}

export function fileChecksum(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

function nodeClient(client: Namespace, kind: string, ...words: string[]): Program {
  const script = fileURLToPath(new URL(`clients-${kind}-client.js`, import.meta.url));
  return new Program(client, process.execPath, script, ...words);
}

/** Makes keys and the configuration of sshd, whose path it gives. */
function prepareSsh(lab: ClientLab): string {
  const made = mkdirSync(separationDirectory, { recursive: true, mode: 0o755 });
  if (made !== undefined) lab.atEnd(() => rmdirSync(separationDirectory));
  for (const name of ['host-key', 'client-key']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', join(lab.directory, name)]);
  }
  const publicKey = (name: string): string => readFileSync(join(lab.directory, `${name}.pub`), 'utf8');
  lab.write('authorized-keys', publicKey('client-key'));
  lab.write('known-hosts', `${virtualAddress} ${publicKey('host-key')}`);
  const lines = [
    `Port ${lab.realPort(services.ssh)}`,
    'ListenAddress 0.0.0.0',
    `HostKey ${join(lab.directory, 'host-key')}`,
    `AuthorizedKeysFile ${join(lab.directory, 'authorized-keys')}`,
    'AuthenticationMethods publickey',
    'PermitRootLogin prohibit-password',
    'PidFile none',
    'UseDNS no',
    // The key is below a directory that all may write to; the one that holds it is root's alone.
    'StrictModes no',
    'UsePAM no',
    'Subsystem sftp internal-sftp',
  ];
  return lab.write('sshd.conf', `${lines.join('\n')}\n`);
}

function sshOptions(lab: ClientLab): string[] {
  const options = [
    `UserKnownHostsFile=${join(lab.directory, 'known-hosts')}`,
    'GlobalKnownHostsFile=/dev/null',
    'StrictHostKeyChecking=yes',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'BatchMode=yes',
  ];
  const words = ['-F', 'none', '-i', join(lab.directory, 'client-key')];
  return [...words, ...options.flatMap((option) => ['-o', option])];
}

function iperfWords(port: number): string[] {
  return ['-s', '-p', String(port), '--forceflush'];
}

/** A server whose every answer follows from the question: host-10-1-2-3.pair.test is 10.1.2.3. */
function dnsWords(port: number): string[] {
  const plain = ['--no-daemon', '--conf-file=/dev/null', '--log-facility=-', '--pid-file'];
  const alone = ['--no-resolv', '--no-hosts', '--user=root', '--cache-size=0'];
  return [...plain, ...alone, `--port=${port}`, '--synth-domain=pair.test,10.1.0.0/16,host-'];
}

function programPath(command: string): string | undefined {
  const directory = searchPath.split(':').find((each) => existsSync(join(each, command)));
  return directory === undefined ? undefined : join(directory, command);
}
