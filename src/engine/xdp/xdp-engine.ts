// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../lib/clock.ts';
import { type IpAddress, ipAddressFromBytes } from '../../lib/ip-address.ts';
import type { ApplyOutcome, Engine, EngineConfiguration, EngineCounters, ExportPage } from '../engine.ts';
import { Addresses, type XdpInterface } from './addresses.ts';
import type { BpfObject, BpfRingReader } from './bpf-object.ts';
import { collect } from './collect.ts';
import { XdpConnectionPort } from './connection-port.ts';
import { describeCounters } from './counters.ts';
import { Crowding } from './crowding.ts';
import { Destinations } from './destinations.ts';
import { Endpoints } from './endpoints.ts';
import { Mailbox, mailboxes } from './mailbox.ts';
import { NextHopMaps } from './next-hop-maps.ts';
import type { Hop, NextHopSink, NextHops } from './next-hops.ts';
import { SlotSpace } from './selectors.ts';
import { runningServices, Services } from './services.ts';
import { writeSettings } from './settings-record.ts';
import { Sweep } from './sweep.ts';
import { TableSpan } from './table-span.ts';
import { openXdpMaps, type XdpMaps } from './xdp-maps.ts';

export type NextHopSource = Pick<NextHops, 'hopFor' | 'release' | 'setPorts' | 'missing' | 'close'>;

export interface XdpEngineParts {
  /** Loaded, with the settings of `loadSettings`, or taken over from a former process: then the engine goes on with it. */
  readonly object: BpfObject;
  readonly clock: Clock;
  /** The interfaces that the program is attached to. */
  readonly interfaces: readonly XdpInterface[];
  /** Follows the kernel's routes: writes to `sink`, and reports each hop that differs from what `hopFor` returned. */
  readonly nextHops: (sink: NextHopSink, onHopChanged: (address: IpAddress, hop: Hop) => void) => NextHopSource;
  /** The reader of the ring `events`. Without it this handle has no events, so that another thread may read them. */
  readonly events?: BpfRingReader;
  /** The reader of the ring `missing_neighbours`. */
  readonly missingNeighbours?: BpfRingReader;
}

const collectPeriodMs = 1_000;
/** Requests for neighbours that one tick takes; a flood of them overruns the ring and asks again. */
const missingMax = 1_024;

/**
 * The engine in the kernel: the program forwards by itself; this keeps the maps that it reads, and has it expire
 * entries. `tick` has to be called about every 10 ms.
 */
export class XdpEngine implements Engine {
  readonly kind = 'xdp';
  readonly #object: BpfObject;
  readonly #clock: Clock;
  readonly #maps: XdpMaps;
  readonly #slots: SlotSpace;
  readonly #destinations: Destinations;
  readonly #endpoints: Endpoints;
  readonly #services: Services;
  readonly #addresses: Addresses;
  readonly #nextHopMaps: NextHopMaps;
  readonly #nextHops: NextHopSource;
  readonly #missingNeighbours: BpfRingReader | undefined;
  readonly #sweep: Sweep;
  readonly #crowding: Crowding;
  readonly #connections: XdpConnectionPort;
  #collectAtMs = 0;
  /** All routes and neighbours of the kernel are known: those of a former process no longer count. */
  #nextHopsComplete = false;

  constructor({ object, clock, interfaces, nextHops, events, missingNeighbours }: XdpEngineParts) {
    const nowMs = clock.nowMs();
    const maps = openXdpMaps(object);
    this.#object = object;
    this.#clock = clock;
    this.#maps = maps;
    this.#missingNeighbours = missingNeighbours;
    this.#slots = new SlotSpace(maps.slots);
    const running = runningServices(maps, this.#slots);
    const live = new Set(running.map(({ number }) => number));
    this.#destinations = new Destinations(maps, nowMs, (service) => live.has(service));
    this.#endpoints = new Endpoints(maps.realServers, this.#destinations, maps.settings);
    this.#nextHopMaps = new NextHopMaps(maps);
    this.#nextHops = nextHops(this.#nextHopMaps, (address, hop) => this.#followHop(address, hop));
    const hopFor = (address: IpAddress): Hop => this.#nextHops.hopFor(address);
    const parts = { maps, destinations: this.#destinations, endpoints: this.#endpoints, slots: this.#slots, hopFor };
    this.#services = new Services(parts, running, nowMs);
    this.#addresses = new Addresses(maps);
    this.#crowding = new Crowding(maps);
    this.#sweep = new Sweep(new Mailbox(object, mailboxes.director), new TableSpan(object));
    const reader = events === undefined ? {} : { events };
    this.#connections = new XdpConnectionPort({ object, mailbox: mailboxes.director, clock, ...reader });
    this.setInterfaces(interfaces);
    for (const address of this.#destinations.addresses()) this.#destinations.improveHop(address, hopFor(address));
  }

  async configure(configuration: EngineConfiguration): Promise<void> {
    const { addresses, services } = configuration;
    const served = new Set(services.map(({ service }) => service.address));
    this.#addresses.requireRoom(addresses, served);
    this.#services.configure(configuration, this.#clock.nowMs());
    writeSettings(this.#maps.settings, configuration);
    this.#crowding.configure(configuration.timeouts);
    this.#addresses.configure(addresses, served);
  }

  /** To be called after an interface has been recreated, or has another MAC address or MTU. */
  setInterfaces(interfaces: readonly XdpInterface[]): void {
    this.#addresses.setInterfaces(interfaces);
    this.#nextHops.setPorts(interfaces.map(({ index }) => index));
  }

  /** The next hops know all routes and neighbours of the kernel. Until then those of a former process stay in force. */
  completeNextHops(): void {
    this.#nextHopsComplete = true;
    this.#nextHopMaps.dropOthers();
    for (const address of this.#destinations.addresses()) {
      const hop = this.#nextHops.hopFor(address);
      // While the kernel asks, the neighbour's former MAC address is the better guess.
      if (hop.state === 'resolving') this.#destinations.improveHop(address, hop);
      else this.#destinations.setHop(address, hop);
    }
  }

  /** Expires and refreshes a share of the entries, frees unused numbers, asks for neighbours that packets missed. */
  tick(): void {
    const nowMs = this.#clock.nowMs();
    this.#askForNeighbours();
    this.#crowding.follow();
    this.#sweep.advance(nowMs);
    if (nowMs < this.#collectAtMs) return;
    this.#collectAtMs = nowMs + collectPeriodMs;
    collect(
      {
        destinations: this.#destinations,
        endpoints: this.#endpoints,
        services: this.#services,
        slots: this.#slots,
        onAddressFreed: (address) => this.#nextHops.release(address),
      },
      nowMs,
    );
  }

  async counters(): Promise<EngineCounters> {
    return describeCounters(this.#maps, this.#services, this.#destinations);
  }

  onEvents(listener: (batch: Int32Array) => void, onOverrun?: () => void): void {
    this.#connections.onEvents(listener, onOverrun);
  }

  exportPage(cursor: number, recordsMax: number): Promise<ExportPage> {
    return this.#connections.exportPage(cursor, recordsMax);
  }

  expectRecords(forMs: number): void {
    this.#connections.expectRecords(forMs);
  }

  applyBatch(batch: Int32Array): Promise<ApplyOutcome> {
    return this.#connections.applyBatch(batch);
  }

  /** Closes this process's descriptors. The program goes on where links of it are held elsewhere. */
  async close(): Promise<void> {
    await this.#connections.close();
    this.#missingNeighbours?.stop();
    this.#missingNeighbours?.close();
    this.#nextHops.close();
    this.#object.close();
  }

  #followHop(address: IpAddress, hop: Hop): void {
    if (this.#nextHopsComplete) this.#destinations.setHop(address, hop);
    else this.#destinations.improveHop(address, hop);
  }

  /** `struct missing_neighbour`: interface, four words of address, 1 for IPv6. */
  #askForNeighbours(): void {
    this.#missingNeighbours?.read(missingMax, (words, offset) => {
      const length = words[offset + 5] === 0 ? 4 : 16;
      const bytes = new Uint8Array(words.buffer, words.byteOffset + 4 * (offset + 1), length);
      this.#nextHops.missing(words[offset]!, ipAddressFromBytes(bytes, 0, length));
    });
  }
}
