// SPDX-License-Identifier: Apache-2.0
import { defaultDeadServerPolicy } from '../../model/dead-servers.ts';
import { defaultTimeouts } from '../../model/timeouts.ts';
import type {
  ApplyOutcome,
  EngineConfiguration,
  EngineCounters,
  ExportPage,
  LeaseReader,
  PublisherReader,
} from '../engine.ts';
import { ClientHops } from './client-hops.ts';
import { ConnectionTable, defaultTableLimits, type TableLimits } from './connection-table.ts';
import { Connections } from './connections.ts';
import { Destinations } from './destinations.ts';
import { EventBuffer } from './event-buffer.ts';
import { Forwarder } from './forwarder.ts';
import { Leases } from './leases.ts';
import type { NextHopResolver } from './next-hop.ts';
import type { PacketPort } from './packet-port.ts';
import { neighbourQueue, PendingFrames, type PendingLimits, publicationQueue } from './pending-frames.ts';
import { Publisher } from './publisher.ts';
import { PublisherWatch } from './publisher-watch.ts';
import { Replication } from './replication.ts';
import { Services } from './services.ts';
import { Drop, describeCounters, Tally } from './tally.ts';

export interface PortableEngineParts {
  /** All interfaces that packets may come in on or leave by. */
  readonly ports: readonly PacketPort[];
  readonly resolver: NextHopResolver;
  readonly leases: LeaseReader;
  /** Absent: no peer has to hear of the connections. */
  readonly publisher?: PublisherReader;
  /** Monotonic milliseconds, the clock that leases are written in. */
  readonly nowMs: () => number;
  readonly limits?: Partial<TableLimits>;
  /** How many clients' next hops are remembered; a power of two. */
  readonly clientHopsMax?: number;
}

/** Frames taken from one port before the others have their turn, and before anything is sent. */
const framesPerPort = 256;
const clientHopsDefault = 65_536;
/** The longest sleep while the table has entries to sweep or there are leases that may change. */
const idleMaxMs = 50;

/**
 * The engine that needs nothing of the kernel but packet sockets: single-threaded and synchronous. A loop calls
 * `processBatch` and `tick` and sleeps at most `idleMs` when there was nothing to do.
 */
export class PortableEngine {
  readonly publisherWatch: PublisherWatch;
  readonly #ports: readonly PacketPort[];
  readonly #resolver: NextHopResolver;
  readonly #nowMs: () => number;
  readonly #destinations = new Destinations();
  readonly #events = new EventBuffer(this.#destinations);
  readonly #tally = new Tally();
  readonly #leases: Leases;
  readonly #services: Services;
  readonly #connections: Connections;
  readonly #pending: PendingFrames;
  readonly #unpublished: PendingFrames;
  readonly #forwarder: Forwarder;
  readonly #replication: Replication;
  #collectAtMs = 0;

  constructor(parts: PortableEngineParts) {
    this.publisherWatch = new PublisherWatch(parts.publisher);
    this.#ports = parts.ports;
    this.#resolver = parts.resolver;
    this.#nowMs = parts.nowMs;
    this.#leases = new Leases(parts.leases);
    this.#services = new Services(this.#destinations, parts.resolver);
    const table = new ConnectionTable({ ...defaultTableLimits, hashSeed: 0, ...parts.limits }, this.#destinations);
    this.#connections = new Connections(
      table,
      this.#destinations,
      new Publisher({
        table,
        destinations: this.#destinations,
        events: this.#events,
        leases: this.#leases,
        watch: this.publisherWatch,
      }),
      this.#tally,
      defaultTimeouts,
    );
    const queueOf = (limits: PendingLimits): PendingFrames =>
      new PendingFrames(limits, this.#leases, this.publisherWatch, this.#tally);
    this.#pending = queueOf(neighbourQueue);
    this.#unpublished = queueOf(publicationQueue);
    this.#forwarder = new Forwarder({
      services: this.#services,
      destinations: this.#destinations,
      connections: this.#connections,
      leases: this.#leases,
      clientHops: new ClientHops(parts.resolver, parts.clientHopsMax ?? clientHopsDefault),
      queues: { pending: this.#pending, unpublished: this.#unpublished },
      tally: this.#tally,
    });
    this.#replication = new Replication(this.#connections, this.#destinations, this.#services);
  }

  configure(configuration: EngineConfiguration): void {
    this.#connections.setTimeouts(configuration.timeouts);
    this.#connections.deadServerPolicy = configuration.deadServerPolicy ?? defaultDeadServerPolicy;
    this.#connections.sloppyTcp = configuration.sloppyTcp ?? true;
    this.#services.configure(configuration);
    this.#leases.configure(
      configuration.addresses.map((address) => address.leaseSlot),
      configuration.gracePeriodMs,
    );
    this.#leases.read(this.#nowMs());
  }

  /** Takes what waits on every port, forwards it and sends it. Returns how many frames there were. */
  processBatch(): number {
    this.#sendPublished(this.#begin());
    let frames = 0;
    for (const port of this.#ports) frames += port.receive(framesPerPort, this.#forwarder.handle);
    this.#flush();
    for (const port of this.#ports) port.release();
    if (this.hasUnpublished) this.#events.flush();
    return frames;
  }

  /** Whether SYNs wait for the batch of events that is being handed over, or for an earlier one. */
  get hasUnpublished(): boolean {
    return !this.#unpublished.isEmpty || this.#connections.publisher.isBeginning;
  }

  /** Reads the kernel's routes and neighbours, sends what waited for them, sweeps the table. Call at least every `idleMs`. */
  tick(): void {
    const nowMs = this.#begin();
    this.#sendPublished(nowMs);
    const changed = this.#resolver.update();
    if (!this.#pending.isEmpty || changed) {
      this.#pending.release(nowMs);
      this.#flush();
    }
    this.#connections.sweep(nowMs);
    if (nowMs >= this.#collectAtMs) {
      this.#services.collect();
      this.#collectAtMs = nowMs + 10_000;
    }
    this.#events.flushDue(nowMs);
  }

  /** Hands the collected events over without waiting for more. To be called before the loop goes to sleep. */
  flushEvents(): void {
    this.#events.flush();
  }

  /** How long the loop may sleep when no frame wakes it. */
  get idleMs(): number {
    return this.#pending.isEmpty && this.#unpublished.isEmpty ? idleMaxMs : 1;
  }

  onEvents(listener: (batch: Int32Array) => void): void {
    this.#events.listener = listener;
  }

  /** Counts events that the listener could not take. */
  countEventOverruns(events: number): void {
    this.#tally.eventOverruns += events;
  }

  exportPage(cursor: number, recordsMax: number): ExportPage {
    return this.#replication.exportPage(cursor, recordsMax, this.#nowMs());
  }

  expectRecords(forMs: number): void {
    this.#leases.recordsExpectedUntilMs = this.#nowMs() + forMs;
  }

  applyBatch(batch: Int32Array): ApplyOutcome {
    return this.#replication.apply(batch, this.#begin());
  }

  counters(): EngineCounters {
    return describeCounters(this.#tally, this.#connections.table, this.#services, this.#destinations, this.#ports);
  }

  #begin(): number {
    const nowMs = this.#nowMs();
    this.#forwarder.nowMs = nowMs;
    this.#leases.read(nowMs);
    return nowMs;
  }

  #sendPublished(nowMs: number): void {
    if (this.#unpublished.isEmpty) return;
    this.#unpublished.release(nowMs);
    this.#flush();
  }

  /** The process may have been frozen since the batch began: frames that a lease no longer covers are not sent. */
  #flush(): void {
    for (const port of this.#ports) {
      const { queued } = port;
      if (queued === 0) continue;
      // Asked before each port: a frozen process stops at the end of a system call, and sending on one port is a long one.
      if (this.#leases.haveLapsed(this.#nowMs())) {
        port.discard();
        this.#tally.drops[Drop.noLease]! += queued;
      } else this.#tally.drops[Drop.transmitFailed]! += port.flush();
    }
  }
}
