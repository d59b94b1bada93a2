// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { start } from '../command.ts';
import { clientInterfaceIndex, inside, macs, namespaces } from '../ground.ts';
import type { BalancerOrder, BalancerStatus } from './balancer.ts';
import type { BulkFigures } from './bulk.ts';
import { clientBase, type Family, serverMacByte, virtualAddress } from './ground.ts';
import type { SendOrder, SendResult } from './sender.ts';

// The placement of the XDP measurements: on one processor the generator, the work that its packets cause in the kernel
// (soft interrupts of a veth run on the processor that sent), and nothing else; on the other one the rest of the engine.
const senderProcessor = 0;
const otherProcessor = 1;

export interface Traffic {
  readonly family: Family;
  readonly protocol: 'udp' | 'tcp';
  readonly port: number;
  readonly flows: number;
  readonly order: 'random' | 'sequence';
  readonly packetsPerFlow: 1 | 2;
  readonly flags: SendOrder['flags'];
  readonly packets: number;
  readonly firstFlow?: number;
  /** Instead of the virtual address. */
  readonly to?: string;
}

export interface Delivery {
  readonly sent: number;
  /** At the servers, by their MAC address. */
  readonly arrived: number;
  /** At the far ends, whatever the MAC address. */
  readonly seen: number;
  readonly elapsedMs: number;
}

/** The processes of a run, and how to talk to them. */
export class Stage {
  readonly #sender: Talk;
  readonly #replier: Talk;
  readonly #sinks: readonly Talk[];
  readonly #balancer: Talk;
  readonly #clientIndex: number;
  readonly #serverIndex: number;

  static async open(): Promise<Stage> {
    const [link] = JSON.parse(await inside(namespaces.servers, ['ip', '-j', 'link', 'show', 'dev', 'back'])) as [
      { ifindex: number },
    ];
    return new Stage(await clientInterfaceIndex(), link.ifindex);
  }

  private constructor(clientIndex: number, serverIndex: number) {
    const { client, balancer, servers } = namespaces;
    this.#sender = new Talk(client, senderProcessor, 'sender');
    this.#replier = new Talk(servers, senderProcessor, 'sender');
    this.#sinks = [
      new Talk(client, otherProcessor, 'sink', ['front']),
      new Talk(servers, otherProcessor, 'sink', ['back']),
    ];
    this.#balancer = new Talk(balancer, otherProcessor, 'balancer');
    this.#clientIndex = clientIndex;
    this.#serverIndex = serverIndex;
  }

  order(order: BalancerOrder): Promise<BalancerStatus & BulkFigures> {
    return this.#balancer.ask(order) as Promise<BalancerStatus & BulkFigures>;
  }

  /** Sends to a virtual address and counts what arrives. */
  async send(traffic: Traffic): Promise<Delivery> {
    const { port, firstFlow = 0, to = virtualAddress[traffic.family], ...rest } = traffic;
    const order: SendOrder = {
      ...rest,
      sourceMac: macs.client,
      destinationMac: macs.front,
      clientBase: clientBase[traffic.family],
      fixedAddress: to,
      fixedPort: port,
      direction: 'in',
      interfaceIndex: this.#clientIndex,
      firstFlow,
    };
    return this.#deliver(this.#sender, order);
  }

  /** Sends from a real server to clients, through the balancer. */
  async reply(traffic: Traffic, server: string): Promise<Delivery> {
    const { port, firstFlow = 0, ...rest } = traffic;
    const order: SendOrder = {
      ...rest,
      sourceMac: macs.servers,
      destinationMac: macs.back,
      clientBase: clientBase[traffic.family],
      fixedAddress: server,
      fixedPort: port,
      direction: 'out',
      interfaceIndex: this.#serverIndex,
      firstFlow,
    };
    return this.#deliver(this.#replier, order);
  }

  close(): void {
    for (const talk of [this.#sender, this.#replier, ...this.#sinks, this.#balancer]) talk.close();
  }

  async #deliver(sender: Talk, order: SendOrder): Promise<Delivery> {
    const before = await this.#counts();
    const { sent, elapsedMs } = (await sender.ask(order)) as SendResult;
    const after = await this.#counts();
    return { sent, elapsedMs, arrived: after.servers - before.servers, seen: after.all - before.all };
  }

  async #counts(): Promise<{ servers: number; all: number }> {
    const sum = { servers: 0, all: 0 };
    for (const sink of this.#sinks) {
      for (const [byte, count] of (await sink.ask({})) as [number, number][]) {
        sum.all += count;
        if (byte === serverMacByte) sum.servers += count;
      }
    }
    return sum;
  }
}

/** A child that answers each line with a line. */
class Talk {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #interface: Interface;
  readonly #lines: AsyncIterator<string>;

  constructor(namespace: string, processor: number, name: string, args: readonly string[] = []) {
    const module = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
    this.#name = name;
    this.#process = start(namespace, processor, [process.execPath, module, ...args]);
    this.#interface = createInterface({ input: this.#process.stdout! });
    this.#lines = this.#interface[Symbol.asyncIterator]();
  }

  async ask(question: unknown): Promise<unknown> {
    const text = JSON.stringify(question, (_, value) =>
      value instanceof Uint16Array ? { uint16: [...value] } : value,
    );
    this.#process.stdin!.write(`${text}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`the ${this.#name} of the benchmark ended unexpectedly`);
    const answer = JSON.parse(line.value) as { readonly failed?: string };
    if (answer.failed !== undefined) throw new Error(`${this.#name}: ${answer.failed}`);
    return answer;
  }

  close(): void {
    this.#interface.close();
    this.#process.kill('SIGKILL');
  }
}
