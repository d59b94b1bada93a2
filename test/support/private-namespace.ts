// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import koffi from 'koffi';

const CLONE_NEWNET = 0x4000_0000;

let entered = false;

/**
 * Takes this thread, and the children that it starts, into a network namespace without a name. It is gone when the
 * process is: nothing is left to clean up, however the process ends. Once per process.
 */
export function enterPrivateNamespace(): void {
  if (entered) return;
  const unshare = koffi.load('libc.so.6').func('int unshare(int flags)') as (flags: number) => number;
  if (unshare(CLONE_NEWNET) !== 0) throw new Error('cannot make a network namespace; run the test as root');
  entered = true;
}

/** One end of a veth pair that is up at both ends. Gives its index. */
export function makeInterface(name: string, macAddress: Uint8Array): number {
  const mac = Buffer.from(macAddress)
    .toString('hex')
    .replace(/..(?!$)/g, '$&:');
  ip('link', 'add', name, 'address', mac, 'type', 'veth', 'peer', 'name', `${name}-far`);
  for (const end of [name, `${name}-far`]) ip('link', 'set', end, 'up');
  const [link] = JSON.parse(ip('-json', 'link', 'show', 'dev', name)) as { ifindex: number }[];
  return link!.ifindex;
}

function ip(...words: string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}
