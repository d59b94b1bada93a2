// SPDX-License-Identifier: Apache-2.0
import type { XdpInterface } from '../../engine/xdp/addresses.ts';
import type { XdpLink } from '../../engine/xdp/bpf-object.ts';
import { errorSentence } from '../../lib/error-sentence.ts';
import type { Log, LogLevel } from '../../lib/log.ts';
import type { Attachment } from '../../platform/linux/bpf/attachment.ts';

/** How soon a recreated interface carries packets again. Looking costs a few system calls. */
const lookPeriodMs = 200;

export interface XdpAttachmentsParts {
  readonly names: readonly string[];
  /** Existing links; those on other interfaces are detached. */
  readonly links: readonly XdpLink[];
  /** Puts the program on an interface. Throws a sentence when the kernel refuses. */
  readonly attach: (interfaceIndex: number) => Attachment;
  /** Gives undefined when there is no interface of this name. */
  readonly find: (name: string) => XdpInterface | undefined;
  /** Called with the interfaces that there are when one has come back, or has another index, MAC address or MTU. */
  readonly onChanged: (present: readonly XdpInterface[]) => void;
  readonly log: Log;
}

/** The log line for an attachment of the program. */
interface Occasion {
  readonly level: LogLevel;
  readonly sentence: (name: string) => string;
}

/** The predecessor did not forward on this interface, or every attempt so far was refused. */
const firstAttached: Occasion = {
  level: 'info',
  sentence: (name) => `the XDP program is on interface ${name} now; the engine forwards on it`,
};
/** Another program detached it, or the interface was recreated with the same index. */
const programGone: Occasion = {
  level: 'warn',
  sentence: (name) => `the XDP program had gone from interface ${name}; the engine forwards on it again`,
};
const interfaceRecreated: Occasion = {
  level: 'warn',
  sentence: (name) => `interface ${name} was recreated; the engine forwards on it again`,
};

/** Keeps the program on the engine's interfaces, also when one is deleted and recreated. */
export class XdpAttachments {
  readonly #parts: XdpAttachmentsParts;
  readonly #links = new Map<string, XdpLink>();
  readonly #timer: NodeJS.Timeout;
  #present: readonly XdpInterface[];
  /** The reason why the program cannot be put on an interface, logged once. */
  readonly #failures = new Map<string, string>();

  constructor(parts: XdpAttachmentsParts) {
    this.#parts = parts;
    this.#present = this.#findAll();
    const spare = new Set(parts.links);
    for (const { name, index } of this.#present) {
      const link = parts.links.find((candidate) => candidate.interfaceIndex === index);
      if (link === undefined) continue;
      spare.delete(link);
      this.#links.set(name, link);
    }
    for (const link of spare) end(link);
    for (const one of this.#present) if (!this.#links.has(one.name)) this.#attach(one, firstAttached);
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
    const present = this.#findAll();
    let changed = !sameInterfaces(present, this.#present);
    for (const one of present) {
      const link = this.#links.get(one.name);
      if (link?.interfaceIndex === one.index && link.isAttached()) continue;
      link?.close();
      this.#links.delete(one.name);
      if (this.#attach(one, attachedAfter(link, one))) changed = true;
    }
    this.#present = present;
    if (changed) this.#parts.onChanged(present);
  }

  #findAll(): XdpInterface[] {
    return this.#parts.names.flatMap((name) => this.#parts.find(name) ?? []);
  }

  #attach({ name, index }: XdpInterface, { level, sentence }: Occasion): boolean {
    try {
      const { link, warning } = this.#parts.attach(index);
      this.#links.set(name, link);
      this.#failures.delete(name);
      this.#parts.log(level, sentence(name));
      if (warning !== undefined) this.#parts.log('warn', warning);
      return true;
    } catch (error) {
      const refusal = errorSentence(error);
      if (this.#failures.get(name) !== refusal) this.#parts.log('error', refusal);
      this.#failures.set(name, refusal);
      return false;
    }
  }
}

function end(link: XdpLink): void {
  // A link that is only closed would stay attached while another process holds it.
  link.detach();
  link.close();
}

/** The occasion of attaching to an interface, by the link that was on an interface of this name until now. */
function attachedAfter(former: XdpLink | undefined, { index }: XdpInterface): Occasion {
  if (former === undefined) return firstAttached;
  return former.interfaceIndex === index ? programGone : interfaceRecreated;
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
