// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { close, errno } from '../libc.ts';
import { errnoName, errnos } from '../system-error.ts';
import { libbpf } from './libbpf.ts';
import { loadPassProgram } from './pass-program.ts';
import { bpf, Command } from './system-call.ts';

export type XdpUsability = { readonly usable: true } | { readonly usable: false; readonly reason: string };

/** Bits of CapEff, linux/capability.h. */
const capabilities = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13, CAP_BPF: 39 } as const;
/** Implies CAP_BPF: include/linux/capability.h, bpf_capable. */
const CAP_SYS_ADMIN = 21;

const kernelFloor = [6, 1] as const;
const BPF_MAP_TYPE_ARRAY = 2;

/** Whether this process can run the XDP engine here; if not, one sentence says why. Leaves nothing behind. */
export function probeXdp(): XdpUsability {
  const reason = whyNot();
  return reason === undefined ? { usable: true } : { usable: false, reason };
}

/** Names of capabilities that a process with this /proc/PID/status lacks, in the order of their numbers. */
export function missingCapabilities(status: string): string[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const has = (bit: number): boolean => ((effective >> BigInt(bit)) & 1n) === 1n;
  return Object.entries(capabilities)
    .filter(([name, bit]) => !has(bit) && !(name === 'CAP_BPF' && has(CAP_SYS_ADMIN)))
    .map(([name]) => name);
}

/** One sentence when a kernel of this release, as in `5.15.0-91-generic`, is too old. */
export function kernelTooOld(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(/[.-]/).map(Number);
  const [floorMajor, floorMinor] = kernelFloor;
  if (major > floorMajor || (major === floorMajor && minor >= floorMinor)) return undefined;
  return `Linux ${version} is too old for the XDP engine: it takes ${floorMajor}.${floorMinor} or newer`;
}

function whyNot(): string | undefined {
  const tooOld = kernelTooOld(release());
  if (tooOld !== undefined) return tooOld;
  const missing = missingCapabilities(readFileSync('/proc/self/status', 'latin1'));
  if (missing.length > 0) {
    return `the process lacks ${missing.join(', ')}; start it as root, or with AmbientCapabilities= of its systemd unit`;
  }
  try {
    libbpf();
  } catch (error) {
    return (error as Error).message;
  }
  return kernelRefusal('BPF map', tryMap()) ?? kernelRefusal('XDP program', loadPassProgram());
}

function tryMap(): number {
  return bpf(Command.mapCreate, ({ words }) => words.set([BPF_MAP_TYPE_ARRAY, 4, 8, 1]));
}

/** `fd`: the kernel's result. A descriptor is closed at once. */
function kernelRefusal(what: string, fd: number): string | undefined {
  if (fd >= 0) {
    close(fd);
    return undefined;
  }
  const error = errno();
  const code = errnoName(error);
  if (error === errnos.ENOSYS) return `this kernel is built without bpf(2) (${code})`;
  if (error === errnos.EPERM || error === errnos.EACCES) {
    return `the kernel refuses this process a ${what} although it has the capabilities (${code}): a container or user namespace forbids bpf(2)`;
  }
  return `the kernel refuses a ${what} (${code}); it may be built without what the XDP engine needs`;
}
