// SPDX-License-Identifier: Apache-2.0
import type { EngineAddress } from '../../engine/engine.ts';
import { errorSentence } from '../../lib/error-sentence.ts';
import type { LogLevel } from '../../lib/log.ts';
import { PacketRing } from '../../platform/linux/packet/ring.ts';
import { Poller } from '../../platform/linux/process/poller.ts';

/** How soon a recreated interface carries packets again. Looking costs a few system calls. */
const lookPeriodMs = 200;

export interface EngineInterfacesParts {
  readonly names: readonly string[];
  /** Descriptors that wake the thread, besides those of the interfaces. */
  readonly otherFds: readonly number[];
  /** Called when the ports have other indexes and MAC addresses. */
  readonly onReopened: (ports: readonly PacketRing[]) => void;
  readonly log: (level: LogLevel, sentence: string) => void;
}

/** The interfaces of the portable engine; each keeps its port when it is deleted and recreated. */
export class EngineInterfaces {
  readonly ports: readonly PacketRing[];
  readonly #parts: EngineInterfacesParts;
  #poller: Poller;
  #lookAtMs = 0;
  /** The reason why a port cannot be opened again, logged once. */
  readonly #failures = new Map<PacketRing, string>();

  /** Throws a sentence when an interface or the privilege is missing. */
  constructor(parts: EngineInterfacesParts) {
    this.#parts = parts;
    this.ports = parts.names.map((name) => new PacketRing(name));
    this.#poller = this.#makePoller();
  }

  /** Sleeps until a frame comes or another descriptor is readable, at most `timeoutMs`. */
  wait(timeoutMs: number): void {
    this.#poller.wait(timeoutMs);
  }

  /** Neighbour solicitations for the IPv6 addresses among these are multicast, which each interface has to let in. */
  answerFor(addresses: readonly EngineAddress[]): void {
    for (const port of this.ports) {
      const own = addresses.filter((address) => address.answer && address.interface === port.interface);
      port.answerFor(own.map(({ address }) => address));
    }
  }

  /** To be called regularly, while the engine holds no frame. */
  follow(nowMs: number): void {
    if (nowMs < this.#lookAtMs) return;
    this.#lookAtMs = nowMs + lookPeriodMs;
    const reopened = this.ports.filter((port) => this.#reopen(port));
    if (reopened.length === 0) return;
    this.#poller = this.#makePoller();
    this.#parts.onReopened(this.ports);
  }

  /** True when the port has been opened again, or was closed by a failed attempt. */
  #reopen(port: PacketRing): boolean {
    try {
      if (!port.reopen()) return false;
      this.#failures.delete(port);
      this.#parts.log('warn', `interface ${port.interface} was recreated; the engine forwards on it again`);
    } catch (error) {
      const sentence = errorSentence(error);
      if (this.#failures.get(port) === sentence) return false;
      this.#failures.set(port, sentence);
      this.#parts.log('error', `the engine cannot forward on ${port.interface}, which was recreated: ${sentence}`);
    }
    return true;
  }

  #makePoller(): Poller {
    return new Poller([...this.ports.map((port) => port.fd), ...this.#parts.otherFds]);
  }
}
