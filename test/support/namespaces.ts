// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';

const CLONE_NEWNET = 0x4000_0000;
const setns = koffi.load('libc.so.6').func('int setns(int fd, int type)') as (fd: number, type: number) => number;

let created = 0;

/** Why tests with network namespaces cannot run here; false when they can. Fits `test(name, { skip })`. */
export function namespacesUnavailable(): string | false {
  if (process.getuid?.() !== 0) return 'needs root to make network namespaces';
  try {
    execFileSync('ip', ['-V'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'needs ip(8) from iproute2';
  }
}

/** A network namespace of a test's own. Whatever is made in it goes with it. */
export class Namespace {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
    execFileSync('ip', ['netns', 'add', name]);
    this.ip('link', 'set', 'lo', 'up');
  }

  /** `ip -n NAME ...`; gives the output. */
  ip(...words: string[]): string {
    return execFileSync('ip', ['-n', this.name, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Runs a command inside and waits for it; gives the output. */
  run(command: string, ...words: string[]): string {
    const inside = ['netns', 'exec', this.name, command, ...words];
    return execFileSync('ip', inside, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Starts a command inside. `ip netns exec` replaces itself by it, so the pid is the command's. */
  spawn(command: string, ...words: string[]): ChildProcess {
    return spawn('ip', ['netns', 'exec', this.name, command, ...words], { stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** Runs `task` on this thread inside the namespace: sockets that it opens stay there. Synchronous code only. */
  enter<Value>(task: () => Value): Value {
    const home = openSync('/proc/thread-self/ns/net', 'r');
    const there = openSync(`/var/run/netns/${this.name}`, 'r');
    try {
      if (setns(there, CLONE_NEWNET) !== 0) throw new Error(`cannot enter the namespace ${this.name}`);
      return task();
    } finally {
      setns(home, CLONE_NEWNET);
      closeSync(home);
      closeSync(there);
    }
  }

  /** The MAC address of an interface, as text. */
  macAddress(interfaceName: string): string {
    const [link] = JSON.parse(this.ip('-json', 'link', 'show', 'dev', interfaceName)) as { address: string }[];
    return link!.address;
  }

  remove(): void {
    execFileSync('ip', ['netns', 'del', this.name]);
  }
}

/** Namespaces joined by veth pairs. `remove` takes it all away; call it from `after` or `finally`. */
export class Network {
  readonly #namespaces: Namespace[] = [];

  namespace(label: string): Namespace {
    created += 1;
    const namespace = new Namespace(`baton-test-${process.pid}-${created}-${label}`);
    this.#namespaces.push(namespace);
    return namespace;
  }

  /** A veth pair, up at both ends. `offload` false: the ends finish checksums and segments before they transmit. */
  join(
    [left, leftName]: readonly [Namespace, string],
    [right, rightName]: readonly [Namespace, string],
    offload = true,
  ): void {
    left.ip('link', 'add', leftName, 'type', 'veth', 'peer', 'name', rightName, 'netns', right.name);
    for (const [namespace, name] of [
      [left, leftName],
      [right, rightName],
    ] as const) {
      // No router solicitations and such: a test sees only the frames that it sent.
      namespace.run('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`);
      if (!offload) namespace.run('ethtool', '-K', name, 'tx', 'off', 'tso', 'off', 'gso', 'off');
      namespace.ip('link', 'set', name, 'up');
    }
  }

  remove(): void {
    for (const namespace of this.#namespaces.splice(0)) namespace.remove();
  }
}

/** Waits until `condition` gives something; polls it, for what cannot be awaited (the kernel's own work). */
export async function eventually<Value>(condition: () => Value | undefined | false, timeoutMs = 5000): Promise<Value> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
