// SPDX-License-Identifier: Apache-2.0
import type { XdpInterface } from '../../engine/xdp/addresses.ts';
import type { BpfProgram, XdpLink } from '../../engine/xdp/bpf-object.ts';
import { errorSentence } from '../../lib/error-sentence.ts';
import type { Log } from '../../lib/log.ts';
import { attachXdp } from '../../platform/linux/bpf/attachment.ts';
import { interfaceFacts } from '../../platform/linux/netlink/interface-facts.ts';

/** How soon an interface that was made anew carries packets again. Looking costs a few system calls. */
const lookPeriodMs = 200;

export interface XdpAttachmentsParts {
  readonly names: readonly string[];
  /** That there are already; those on other interfaces are taken off. */
  readonly links: readonly XdpLink[];
  readonly program: BpfProgram;
  /** Called with the interfaces that there are when one has come back, or has another index, MAC address or MTU. */
  readonly onChanged: (present: readonly XdpInterface[]) => void;
  readonly log: Log;
}

/** The program on the interfaces of the engine, which stay the same to it when one is deleted and made anew. */
export class XdpAttachments {
  readonly #parts: XdpAttachmentsParts;
  readonly #links = new Map<string, XdpLink>();
  readonly #timer: NodeJS.Timeout;
  #present: readonly XdpInterface[];
  /** Why a program cannot be put on an interface, said once. */
  readonly #failures = new Map<string, string>();

  constructor(parts: XdpAttachmentsParts) {
    this.#parts = parts;
    this.#present = parts.names.flatMap((name) => find(name) ?? []);
    const spare = new Set(parts.links);
    for (const { name, index } of this.#present) {
      const link = parts.links.find((candidate) => candidate.interfaceIndex === index);
      if (link === undefined) continue;
      spare.delete(link);
      this.#links.set(name, link);
    }
    for (const link of spare) end(link);
    for (const present of this.#present) if (!this.#links.has(present.name)) this.#attach(present);
    this.#timer = setInterval(() => this.#look(), lookPeriodMs);
  }

  get links(): readonly XdpLink[] {
    return [...this.#links.values()];
  }

  /** Takes the program off all interfaces. */
  close(): void {
    clearInterval(this.#timer);
    for (const link of this.#links.values()) end(link);
    this.#links.clear();
  }

  #look(): void {
    const present = this.#parts.names.flatMap((name) => find(name) ?? []);
    let changed = !sameInterfaces(present, this.#present);
    for (const one of present) {
      const link = this.#links.get(one.name);
      if (link?.interfaceIndex === one.index) continue;
      link?.close();
      this.#links.delete(one.name);
      if (this.#attach(one)) changed = true;
    }
    this.#present = present;
    if (changed) this.#parts.onChanged(present);
  }

  #attach({ name, index }: XdpInterface): boolean {
    try {
      const { link, warning } = attachXdp(this.#parts.program, index);
      this.#links.set(name, link);
      this.#failures.delete(name);
      this.#parts.log('warn', `interface ${name} was made anew; the engine forwards on it again`);
      if (warning !== undefined) this.#parts.log('warn', warning);
      return true;
    } catch (error) {
      const sentence = errorSentence(error);
      if (this.#failures.get(name) !== sentence) this.#parts.log('error', sentence);
      this.#failures.set(name, sentence);
      return false;
    }
  }
}

function end(link: XdpLink): void {
  // Not only closed: whoever else holds it is not asked.
  link.detach();
  link.close();
}

function find(name: string): XdpInterface | undefined {
  try {
    const { index, macAddress, mtu } = interfaceFacts(name);
    return { name, index, macAddress, mtu };
  } catch {
    return undefined;
  }
}

function sameInterfaces(a: readonly XdpInterface[], b: readonly XdpInterface[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, i) => {
      const other = b[i]!;
      return (
        one.name === other.name &&
        one.index === other.index &&
        one.mtu === other.mtu &&
        one.macAddress.every((byte, at) => byte === other.macAddress[at])
      );
    })
  );
}
