// SPDX-License-Identifier: Apache-2.0
import type { BpfLoadSettings, BpfObject, XdpLink, XdpMode } from '../../../engine/xdp/bpf-object.ts';
import { close, errno, if_indextoname } from '../libc.ts';
import { errnoName, errnos, SystemError } from '../system-error.ts';
import { type LoadOptions, loadBpfObject } from './load.ts';
import { loadPassProgram } from './pass-program.ts';
import { bpf, Command, describeXdpLink } from './system-call.ts';
import { askWhyRefused, modeFlags, queryXdp } from './xdp-netlink.ts';

/**
 * - `occupied`: another program is on the interface (or on one above it)
 * - `mtu`: the driver takes no XDP program at the interface's MTU
 * - `gone`: there is no such interface
 * - `privilege`: CAP_NET_ADMIN or CAP_BPF is missing
 * - `unsupported`: the driver has no native mode, or not for this program
 */
export type AttachReason = 'occupied' | 'mtu' | 'gone' | 'privilege' | 'unsupported';

/** The message is one sentence. */
class AttachError extends Error {
  override readonly name = 'AttachError';
  readonly reason: AttachReason;

  constructor(reason: AttachReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface Attachment {
  readonly link: XdpLink;
  /** One sentence when the driver has no native mode, so that generic mode is used. */
  readonly warning: string | undefined;
}

export interface AttachedObject {
  readonly object: BpfObject;
  /** In the order of the interfaces. */
  readonly links: readonly XdpLink[];
  readonly warnings: readonly string[];
}

// linux/bpf.h: enum bpf_attach_type
const BPF_XDP = 37;

/**
 * Puts a program on an interface: in native mode, or in generic mode when the driver refuses. `mode` restricts it to
 * one mode. Throws an AttachError.
 */
export function attachXdp(program: { readonly fd: number }, interfaceIndex: number, mode?: XdpMode): Attachment {
  return attach(program.fd, interfaceIndex, mode, () => {});
}

/**
 * Loads an object and puts its program `name` on all interfaces. When a driver takes only programs for whole packets,
 * the object is loaded once more as such. Throws what `loadBpfObject` and `attachXdp` throw, with nothing left behind.
 */
export function loadAndAttach(
  settings: BpfLoadSettings,
  name: string,
  interfaceIndexes: readonly number[],
  options: LoadOptions & { readonly mode?: XdpMode } = {},
): AttachedObject {
  const object = loadBpfObject(settings, options);
  const attachments: Attachment[] = [];
  try {
    const program = object.programs.get(name);
    if (program === undefined) throw new Error(`the BPF object has no program ${name}`);
    for (const index of interfaceIndexes) {
      const refused = (): void => {
        if (options.fragments !== false && takesWholePackets(index)) throw new WholePacketsOnly();
      };
      attachments.push(attach(program.fd, index, options.mode, refused));
    }
    return {
      object,
      links: attachments.map(({ link }) => link),
      warnings: attachments.flatMap(({ warning }) => warning ?? []),
    };
  } catch (error) {
    for (const { link } of attachments) link.close();
    object.close();
    if (!(error instanceof WholePacketsOnly)) throw error;
  }
  return loadAndAttach(settings, name, interfaceIndexes, { ...options, fragments: false });
}

/** A link by its descriptor, which it owns from then on. Throws one sentence when `fd` is not a link. */
export function openXdpLink(fd: number): XdpLink {
  const facts = describeXdpLink(fd);
  if (facts === undefined) throw new Error(`descriptor ${fd} is not the link of an XDP program`);
  const programs = facts.interfaceIndex === 0 ? undefined : queryXdp(facts.interfaceIndex);
  const mode = programs?.generic === facts.programId ? 'generic' : 'native';
  return linkOf(fd, facts.interfaceIndex, mode);
}

class WholePacketsOnly extends Error {}

/** `refused` is called before generic mode is tried. */
function attach(programFd: number, interfaceIndex: number, mode: XdpMode | undefined, refused: () => void): Attachment {
  if (mode !== undefined) return { link: attachIn(programFd, interfaceIndex, mode), warning: undefined };
  try {
    return { link: attachIn(programFd, interfaceIndex, 'native'), warning: undefined };
  } catch (error) {
    if (!(error instanceof AttachError) || error.reason !== 'unsupported') throw error;
    refused();
    const link = attachIn(programFd, interfaceIndex, 'generic');
    return { link, warning: `${error.message}; the slower generic mode is used` };
  }
}

function attachIn(programFd: number, interfaceIndex: number, mode: XdpMode): XdpLink {
  const fd = createLink(programFd, interfaceIndex, mode);
  if (fd < 0) throw attachError(errno(), programFd, interfaceIndex, mode);
  return linkOf(fd, interfaceIndex, mode);
}

function createLink(programFd: number, interfaceIndex: number, mode: XdpMode): number {
  return bpf(Command.linkCreate, ({ words }) => {
    words[0] = programFd;
    words[1] = interfaceIndex;
    words[2] = BPF_XDP;
    words[3] = modeFlags[mode];
  });
}

function linkOf(fd: number, interfaceIndex: number, mode: XdpMode): XdpLink {
  return {
    fd,
    interfaceIndex,
    mode,
    replace: (program) => {
      const result = bpf(Command.linkUpdate, ({ words }) => {
        words[0] = fd;
        words[1] = program.fd;
      });
      if (result >= 0) return;
      const error = errno();
      const where = `the interface with index ${interfaceIndex}`;
      if (errnoName(error) === 'ENOLINK') {
        throw new AttachError('gone', `cannot exchange the XDP program: ${where} has gone, and the program with it`);
      }
      throw new SystemError('bpf', error, `exchange the XDP program on ${where}`);
    },
    isAttached: () => (describeXdpLink(fd)?.interfaceIndex ?? 0) !== 0,
    detach: () => {
      bpf(Command.linkDetach, ({ words }) => {
        words[0] = fd;
      });
    },
    close: () => {
      close(fd);
    },
  };
}

/** Tells the refusals of net/core/dev.c (dev_xdp_attach) and of the driver apart by their texts. */
function attachError(error: number, programFd: number, interfaceIndex: number, mode: XdpMode): AttachError {
  const name = if_indextoname(interfaceIndex);
  if (name === undefined) {
    return new AttachError('gone', `cannot attach the XDP program: there is no interface with index ${interfaceIndex}`);
  }
  const code = errnoName(error);
  if (error === errnos.EPERM || error === errnos.EACCES) {
    const needed = `the process needs CAP_NET_ADMIN and CAP_BPF in the network namespace of ${name}`;
    return new AttachError('privilege', `cannot attach the XDP program to ${name}: ${needed} (${code})`);
  }
  const said = askWhyRefused(interfaceIndex, programFd, mode);
  const words = said ?? code;
  if (error === errnos.EBUSY || error === errnos.EEXIST) {
    return new AttachError('occupied', `cannot attach the XDP program to ${name}: ${occupant(interfaceIndex, name)}`);
  }
  // Drivers refuse an MTU with ERANGE or E2BIG, some of them without a text.
  if (code === 'ERANGE' || code === 'E2BIG' || /\bmtu\b/i.test(words)) {
    return new AttachError(
      'mtu',
      `cannot attach the XDP program to ${name}: its MTU is too large for XDP in ${mode} mode (${words}); lower the MTU of ${name} (or of its peer)`,
    );
  }
  return new AttachError('unsupported', `${name} does not take the XDP program in ${mode} mode (${words})`);
}

function occupant(interfaceIndex: number, name: string): string {
  const programs = queryXdp(interfaceIndex) ?? {};
  const found = (['native', 'generic'] as const).find((mode) => programs[mode] !== undefined);
  if (found === undefined) return `an interface above ${name} has an XDP program already`;
  const id = programs[found];
  return `another program is there already (id ${id}, ${found} mode); see \`bpftool prog show id ${id}\`, or remove it: ip link set dev ${name} xdp off`;
}

/** Whether the driver takes a program without fragments in native mode. Attaches one for a moment to find out. */
function takesWholePackets(interfaceIndex: number): boolean {
  const fd = loadPassProgram();
  if (fd < 0) return false;
  const link = createLink(fd, interfaceIndex, 'native');
  if (link >= 0) close(link);
  close(fd);
  return link >= 0;
}
