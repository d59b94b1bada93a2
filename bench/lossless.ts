// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { start } from './command.ts';
import type { Contestant } from './contestants.ts';
import type { GeneratorOrder, GeneratorResult, GeneratorShape } from './generator.ts';
import { addresses, arrivedCount, clientInterfaceIndex, flowPort, macs, namespaces, processors } from './ground.ts';

export interface PacketFigures {
  /** Packets a second at the highest rate of which the servers got all but `lossMax`. */
  readonly losslessPerSecond: number;
  /** Nanoseconds of the contestant's processes for each packet at that rate. */
  readonly processNs: number;
  /** Nanoseconds that the whole machine spent in network interrupts for each packet at that rate. */
  readonly interruptNs: number;
}

interface Trial {
  readonly sentPerSecond: number;
  readonly arrivedPerSecond: number;
  readonly loss: number;
  readonly figures: PacketFigures;
}

/** A share of what was sent. */
const lossMax = 0.001;
const lowestRate = 40_000;
const highestRate = 1_600_000;
/** The search ends when a rate that passes and one that does not are as close as this. */
const precision = 1.1;
const trialMs = 300;
const warmUpMs = 400;
/** A rate passes when one of so many trials does: other work on the machine may spoil one. */
const attempts = 2;
/** The generator shares its processor with what the kernel does for its packets, and so may not come up to a rate. */
const reached = 0.95;
const settleMs = 60;
const tickMs = 10;

/** Finds the highest lossless rate of a contestant that is open. */
export async function measureLossless(contestant: Contestant, flows: number): Promise<PacketFigures> {
  const generator = await Generator.open();
  try {
    await generator.generate({ flows, rate: 100_000, durationMs: warmUpMs });
    await delay(settleMs);
    let best: Trial | undefined;
    let [low, high] = [lowestRate, highestRate];
    while (high / low > precision) {
      const rate = Math.sqrt(low * high);
      const trial = await passes(generator, contestant, flows, rate);
      if (trial === undefined) {
        high = rate;
        continue;
      }
      if (best === undefined || trial.arrivedPerSecond > best.arrivedPerSecond) best = trial;
      low = rate;
    }
    if (best === undefined) throw new Error(`${contestant.name} loses packets at ${lowestRate} a second already`);
    return best.figures;
  } finally {
    generator.close();
  }
}

async function passes(
  generator: Generator,
  contestant: Contestant,
  flows: number,
  rate: number,
): Promise<Trial | undefined> {
  let best: Trial | undefined;
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const trial = await tryRate(generator, contestant, { flows, rate, durationMs: trialMs });
    if (process.env.BENCH_TRACE !== undefined)
      process.stderr.write(`${contestant.name} ${Math.round(rate)}: ${JSON.stringify(trial)}\n`);
    const isLossless = trial.loss <= lossMax;
    if (isLossless && trial.arrivedPerSecond > (best?.arrivedPerSecond ?? 0)) best = trial;
    if (isLossless && trial.sentPerSecond >= rate * reached) break;
    // A loss as large as this is no accident: another attempt would not pass.
    if (trial.loss > 0.2) break;
  }
  return best;
}

async function tryRate(generator: Generator, contestant: Contestant, order: GeneratorOrder): Promise<Trial> {
  const before = {
    arrived: await arrivedCount(),
    processMs: contestant.processTimeMs(),
    interruptMs: interruptTimeMs(),
  };
  const { sent, elapsedMs } = await generator.generate(order);
  const interruptMs = interruptTimeMs() - before.interruptMs;
  await delay(settleMs);
  const processMs = contestant.processTimeMs() - before.processMs;
  const arrived = (await arrivedCount()) - before.arrived;
  const arrivedPerSecond = (arrived / elapsedMs) * 1000;
  return {
    sentPerSecond: (sent / elapsedMs) * 1000,
    arrivedPerSecond,
    loss: 1 - arrived / sent,
    figures: {
      losslessPerSecond: arrivedPerSecond,
      processNs: (processMs * 1e6) / arrived,
      interruptNs: (interruptMs * 1e6) / arrived,
    },
  };
}

/** The time of both processors in soft interrupts, in milliseconds: proc(5), seventh figure of the first line. */
function interruptTimeMs(): number {
  return Number(readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]!.trim().split(/ +/)[7]) * tickMs;
}

class Generator {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #interface: Interface;

  static async open(): Promise<Generator> {
    const shape: GeneratorShape = {
      interfaceIndex: await clientInterfaceIndex(),
      sourceMac: macs.client,
      destinationMac: macs.front,
      source: addresses.client,
      destination: addresses.virtual,
      destinationPort: flowPort,
    };
    return new Generator(shape);
  }

  constructor(shape: GeneratorShape) {
    const module = fileURLToPath(new URL('./generator.js', import.meta.url));
    this.#process = start(namespaces.client, processors.client, [process.execPath, module, JSON.stringify(shape)]);
    this.#interface = createInterface({ input: this.#process.stdout! });
    this.#lines = this.#interface[Symbol.asyncIterator]();
  }

  async generate(order: GeneratorOrder): Promise<GeneratorResult> {
    this.#process.stdin!.write(`${JSON.stringify(order)}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the packet generator ended unexpectedly');
    return JSON.parse(line.value) as GeneratorResult;
  }

  close(): void {
    this.#interface.close();
    this.#process.kill('SIGKILL');
  }
}
