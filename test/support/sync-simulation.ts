// SPDX-License-Identifier: Apache-2.0
import { type Replication, startReplication } from '../../src/director/replication/replication.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { createPrng, type Prng } from '../../src/lib/prng.ts';
import { packHead, RecordOffset, recordWords } from '../../src/model/connection-batch.ts';
import type { VirtualService } from '../../src/model/virtual-service.ts';
import type { SyncTuning } from '../../sync/tuning.ts';
import { FakeConnectionPort } from './fake-connection-port.ts';
import { SimulatedTime } from './simulated-time.ts';
import { SyncSegment } from './sync-segment.ts';

export interface SimulatedDirector {
  readonly name: string;
  readonly address: IpAddress;
  readonly table: FakeConnectionPort;
  readonly replication: Replication;
}

/** Directors on one simulated segment. The same seed and program give the same run. */
export class SyncSimulation {
  readonly time = new SimulatedTime();
  readonly prng: Prng;
  readonly segment: SyncSegment;
  readonly directors = new Map<string, SimulatedDirector>();
  readonly tuning: Partial<SyncTuning>;
  /** Sees every change of a gate and every warning. */
  note: (director: string, what: string) => void = () => {};
  #epoch = 1000;

  constructor(seed: number, tuning: Partial<SyncTuning> = {}) {
    this.prng = createPrng(seed);
    this.segment = new SyncSegment(this.time, this.prng);
    this.tuning = tuning;
  }

  /** Directors are called a, b, c...; a start after a crash is the same director in its next epoch. */
  start(name: string, table?: FakeConnectionPort, services: readonly VirtualService[] = []): SimulatedDirector {
    const number = name.charCodeAt(0) - 96;
    const address = `192.0.2.${number}` as IpAddress;
    this.#epoch += 1;
    const connections = table ?? new FakeConnectionPort(this.time, () => 0.2 + this.prng.fraction());
    const replication = startReplication({
      transport: this.segment.attach(address),
      connections,
      clock: this.time,
      identity: { senderId: number, epoch: this.#epoch, syncId: 51 },
      services,
      log: (level, message) => {
        if (level !== 'info') this.note(name, message);
      },
      onGate: (gate) => this.note(name, gate),
      tuning: this.tuning,
    });
    const director = { name, address, table: connections, replication };
    this.directors.set(name, director);
    return director;
  }

  /** Dies without a word. Its table is gone with it. */
  crash(name: string): void {
    const director = this.directors.get(name);
    if (director === undefined) return;
    this.segment.detach(director.address);
    director.replication.close();
    director.table.clear();
    this.directors.delete(name);
  }

  /** Runs what is due, promises included, until `atMs`. */
  async runTo(atMs: number): Promise<void> {
    await settlePromises();
    for (let next = this.time.nextTaskMs(); next !== undefined && next <= atMs; next = this.time.nextTaskMs()) {
      this.time.advanceTo(next);
      await settlePromises();
    }
    this.time.advanceTo(Math.max(atMs, this.time.nowMs()));
  }

  async run(durationMs: number): Promise<void> {
    await this.runTo(this.time.nowMs() + durationMs);
  }

  /** Runs until the condition holds; gives whether it did within the time. */
  async runUntil(condition: () => boolean, durationMs: number): Promise<boolean> {
    const endMs = this.time.nowMs() + durationMs;
    while (!condition()) {
      const next = this.time.nextTaskMs();
      if (next === undefined || next > endMs) return false;
      this.time.advanceTo(next);
      await settlePromises();
    }
    return true;
  }

  gates(): string {
    return [...this.directors.values()].map(({ name, replication }) => `${name}:${replication.gate}`).join(' ');
  }

  /** Entries that some table has and another has not, or has otherwise. */
  differences(): string[] {
    const tables = [...this.directors.values()].map(({ name, table }) => ({ name, lines: new Set(table.contents()) }));
    const all = new Set(tables.flatMap(({ lines }) => [...lines]));
    return [...all].flatMap((line) => {
      const holders = tables.filter(({ lines }) => lines.has(line)).map(({ name }) => name);
      return holders.length === tables.length ? [] : [`${line} only at ${holders.join(', ')}`];
    });
  }
}

/** An ESTABLISHED connection of client number `n` to 198.51.100.10:80, forwarded to 10.0.0.(1 + n % 4):8080. */
export function connectionRecord(n: number, timeoutMs = 900_000, state = 1): Int32Array {
  const record = new Int32Array(recordWords);
  record[0] = packHead({ event: 1, protocol: 6, state, family: 'ipv4', local: true, forwardingMethod: 0 });
  record[RecordOffset.ports] = ((1024 + (n % 60_000)) << 16) | 80;
  record[RecordOffset.realPort] = 8080;
  record[RecordOffset.timeoutMs] = timeoutMs;
  record[RecordOffset.clientAddress] = (0xcb007100 + Math.floor(n / 60_000)) | 0;
  record[RecordOffset.virtualAddress] = 0xc633640a | 0;
  record[RecordOffset.realAddress] = 0x0a000001 + (n % 4);
  return record;
}

/** Callbacks of promises that are settled run within a few turns of the microtask queue. */
async function settlePromises(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await null;
}
