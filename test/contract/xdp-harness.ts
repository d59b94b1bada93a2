// SPDX-License-Identifier: Apache-2.0
import type { XdpInterface } from '../../src/engine/xdp/addresses.ts';
import type { BpfLoadSettings, BpfObject, BpfRingReader } from '../../src/engine/xdp/bpf-object.ts';
import { XdpConnectionPort } from '../../src/engine/xdp/connection-port.ts';
import { Globals, Maps } from '../../src/engine/xdp/layout/maps.ts';
import { SettingsLayout } from '../../src/engine/xdp/layout/structs.ts';
import { loadSettings } from '../../src/engine/xdp/load-settings.ts';
import { mailboxes } from '../../src/engine/xdp/mailbox.ts';
import { MappedArray } from '../../src/engine/xdp/mapped-array.ts';
import type { Hop, NextHopSink, Route } from '../../src/engine/xdp/next-hops.ts';
import { type NextHopSource, XdpEngine } from '../../src/engine/xdp/xdp-engine.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { familyOf, type IpAddress, ipAddressFromBytes } from '../../src/lib/ip-address.ts';
import { leaseSlots, Sign } from '../../src/model/lease.ts';
import { attachXdp } from '../../src/platform/linux/bpf/attachment.ts';
import { loadBpfObject } from '../../src/platform/linux/bpf/load.ts';
import { loadPassProgram } from '../../src/platform/linux/bpf/pass-program.ts';
import { possibleCpuCount } from '../../src/platform/linux/bpf/possible-cpus.ts';
import { openRingReader } from '../../src/platform/linux/bpf/ring-reader.ts';
import { enterPrivateNamespace, makeInterface } from '../support/private-namespace.ts';
import {
  type EngineLimits,
  type EngineUnderTest,
  type FrameOut,
  type MakeEngine,
  neighbourMac,
  type PublisherState,
  portMac,
  type Reachability,
} from './engine-under-test.ts';

type Side = 'clients' | 'servers';

const XDP_PASS = 2;
const XDP_TX = 3;
const XDP_REDIRECT = 4;
const frameLengthMax = 65_536;
const noMac = new Uint8Array(6);
const unreachable: Route = {
  kind: 'unreachable',
  interfaceIndex: 0,
  mtu: 0,
  ownMacAddress: noMac,
  resolved: false,
  macAddress: noMac,
};

const publisherWord = 2 * leaseSlots + 1 + Sign.publisher;
const peerWord = 2 * leaseSlots + 1 + Sign.peer;
const sides: readonly Side[] = ['clients', 'servers'];
let indexes: Readonly<Record<Side, number>> | undefined;
const open: EngineUnderTest[] = [];

/** Closes the engines that were made since the last call. */
export async function closeXdpEngines(): Promise<void> {
  for (const engine of open.splice(0)) await engine.close();
}

/** The engine in the kernel: each frame is a test run of its program, at a time that the test sets. */
export const makeXdpEngine: MakeEngine = Object.assign(
  (limits: EngineLimits): EngineUnderTest => {
    const engine = new XdpUnderTest(limits);
    open.push(engine);
    return engine;
  },
  {
    lacks: {
      offloads: 'a driver hands finished packets to XDP, no larger than the MTU',
      freezing: 'the program runs to its end with bottom halves off, within microseconds of its look at the lease',
      waiting: 'XDP cannot hold a frame back: one without a neighbour is dropped, and the kernel asked',
      runts: 'no driver hands a frame without a whole Ethernet header to XDP, and a test run takes none',
    },
  },
);

/** Interfaces as the suite has them, in a namespace of this process. A test run takes one with a program on it. */
function suiteInterfaces(): Readonly<Record<Side, number>> {
  if (indexes !== undefined) return indexes;
  enterPrivateNamespace();
  const program = { fd: loadPassProgram() };
  const made = Object.fromEntries(sides.map((side) => [side, makeInterface(side, portMac[side])]));
  for (const index of Object.values(made)) attachXdp(program, index);
  indexes = made as Record<Side, number>;
  return indexes;
}

/** The verifier takes half a second for an object: engines with the same limits use the same one, one after the other. */
interface LoadedObject {
  readonly key: string;
  readonly object: BpfObject;
  readonly events: BpfRingReader;
  readonly missingNeighbours: BpfRingReader;
  /** The contents of mapped arrays when the object was loaded. */
  readonly fresh: ReadonlyMap<string, Uint8Array>;
}

const idle: LoadedObject[] = [];

function takeObject(limits: EngineLimits): LoadedObject {
  const key = JSON.stringify(limits);
  const at = idle.findIndex((candidate) => candidate.key === key);
  if (at >= 0) return idle.splice(at, 1)[0]!;
  const sizes = { ...limits, destinationsMax: 256, servicesMax: 64, slotsMax: 4096 };
  const host = { processors: possibleCpuCount(), clockLagNs: 0, hashSeed: 42n, testClock: true };
  const settings = loadSettings(sizes, host);
  const object = loadBpfObject(withRoom(settings, limits));
  const fresh = new Map(
    [...mappedArrays(object)].map(([name, bytes]): [string, Uint8Array] => [name, Uint8Array.from(bytes)]),
  );
  const events = openRingReader(object.maps.get('events')!);
  const missingNeighbours = openRingReader(object.maps.get('missing_neighbours')!);
  return { key, object: { ...object, close: () => undefined }, events, missingNeighbours, fresh };
}

function withRoom({ constants, mapSizes }: BpfLoadSettings, { ringSize, buckets }: EngineLimits): BpfLoadSettings {
  return {
    constants: {
      ...constants,
      ...(ringSize === undefined ? {} : { ring_mask: ringSize - 1 }),
      ...(buckets === undefined ? {} : { buckets4: buckets, buckets6: buckets }),
    },
    mapSizes: {
      ...mapSizes,
      ...(ringSize === undefined ? {} : { half_open_ring: ringSize }),
      ...(buckets === undefined ? {} : { table4: buckets, table6: buckets }),
    },
  };
}

/** Restores its maps to what they were when it was loaded. */
function giveBackObject(loaded: LoadedObject): void {
  const { object, events, missingNeighbours, fresh } = loaded;
  for (const [name, bytes] of mappedArrays(object)) bytes.set(fresh.get(name)!);
  for (const { kind, name } of Object.values(Maps)) {
    if (!['hash', 'lruHash', 'longestPrefix', 'deviceMap'].includes(kind)) continue;
    const map = object.maps.get(name)!;
    for (const key of [...map.keys()]) map.delete(key);
  }
  for (const ring of [events, missingNeighbours]) while (ring.read(1024, () => undefined) > 0);
  idle.push(loaded);
}

function* mappedArrays(object: BpfObject): Generator<[string, Uint8Array]> {
  const names = [
    ...Object.values(Maps)
      .filter(({ kind }) => kind === 'array')
      .map(({ name }) => name),
    ...Object.values(Globals).map(({ map }) => map),
  ];
  for (const name of new Set(names)) yield [name, new MappedArray(object.maps.get(name)!).bytes];
}

export class XdpUnderTest implements EngineUnderTest {
  readonly #indexes = suiteInterfaces();
  readonly #loaded: LoadedObject;
  readonly #object: BpfObject;
  readonly #settings: MappedArray;
  readonly #leases: MappedArray;
  #engine: XdpEngine;
  readonly #port: XdpConnectionPort;
  readonly #hops: SuiteHops;
  readonly #out = new Uint8Array(frameLengthMax);
  readonly #mtus = { clients: 1500, servers: 1500 };
  readonly #clock: Clock = { nowMs: () => this.#timeMs, callAt: () => () => undefined };
  #events: Int32Array[] = [];
  #released: FrameOut[] = [];
  #leftAlone = false;
  #isPrompt = true;
  #isDeferring = false;
  #deferred: (() => void)[] = [];
  #timeMs = 1_000_000;

  constructor(limits: EngineLimits) {
    const loaded = takeObject(limits);
    const { object } = loaded;
    this.#loaded = loaded;
    this.#object = object;
    this.#settings = new MappedArray(object.maps.get('.data.settings')!);
    this.#leases = new MappedArray(object.maps.get('leases')!);
    this.#leases.storeLong(publisherWord, 0, (1n << 63n) - 1n);
    this.#setTime(this.#timeMs);
    this.#hops = new SuiteHops(this.#indexes, this.#mtus);
    this.#engine = this.#start();
    const events = onDemand(loaded.events);
    const held = {
      sender: { send: (index: number, bytes: Uint8Array) => this.#release(index, bytes), close: () => undefined },
      leases: { validUntilMs: (slot: number) => Number(this.#leases.loadLong(slot, 0)) / 1e6 },
    };
    this.#port = new XdpConnectionPort({ object, mailbox: mailboxes.sync, clock: this.#clock, events, held });
    this.#port.onEvents(
      (batch) => this.#events.push(batch),
      undefined,
      (release) => (this.#isDeferring ? this.#deferred.push(release) : release()),
    );
  }

  /** The director dies, the program goes on, and another director takes it over. */
  restart(): void {
    this.#engine = this.#start();
  }

  /** The next packet is handled by another processor, whose clock is behind by `ms`. */
  lag(ms: number): void {
    this.#setTime(this.#timeMs - ms);
  }

  /** Clients on the link that the program has reported because the kernel does not know their MAC addresses. */
  get missed(): readonly string[] {
    return this.#hops.missed;
  }

  /** From here on no host is known as a neighbour unless a test says so. */
  forgetNeighbours(): void {
    this.#hops.forgetNeighbours();
  }

  /** A port as the sync thread has it, on real time, which reads the events from now on. Closed by the caller. */
  followEvents(clock: Clock, listener: (batch: Int32Array) => void): XdpConnectionPort {
    // poll(2) sleeps on when somebody else has read the event that woke it.
    this.#isPrompt = false;
    const asleep = this.#settings.signedWords.subarray(SettingsLayout.readerAsleep >> 2);
    const events = openRingReader(this.#object.maps.get('events')!, asleep);
    const port = new XdpConnectionPort({ object: this.#object, mailbox: mailboxes.director, clock, events });
    port.onEvents(listener);
    return port;
  }

  #start(): XdpEngine {
    const nextHops = (sink: NextHopSink, onChanged: (address: IpAddress, hop: Hop) => void): NextHopSource =>
      this.#hops.follow(sink, onChanged);
    const { object, missingNeighbours } = this.#loaded;
    const engine = new XdpEngine({
      object,
      clock: this.#clock,
      interfaces: this.#interfaces(),
      nextHops,
      missingNeighbours: onDemand(missingNeighbours),
    });
    engine.completeNextHops();
    return engine;
  }

  configure: EngineUnderTest['configure'] = (configuration) => this.#engine.configure(configuration);

  async send(port: Side, frame: Uint8Array): Promise<FrameOut[]> {
    this.#hops.meet(frame);
    const program = this.#object.programs.get('baton')!;
    const options = { ingressInterface: this.#indexes[port], out: this.#out };
    const arriving = toPort(frame, port);
    const { verdict, length } = program.run(arriving, options);
    if (this.#isPrompt) this.#port.drain();
    this.#leftAlone = verdict === XDP_PASS;
    if (this.#leftAlone && Buffer.compare(arriving, this.#out.subarray(0, length)) !== 0) {
      throw new Error('a frame that is left to the kernel was changed');
    }
    const released = this.#released.splice(0);
    if (verdict !== XDP_TX && verdict !== XDP_REDIRECT) return released;
    const bytes = this.#out.slice(0, length);
    const out = verdict === XDP_TX ? port : sideOf(bytes);
    return [...released, { port: out, bytes, checksumPartial: false, segmentSize: 0 }];
  }

  /** Whether the kernel has got the last frame that was sent. */
  get leftAlone(): boolean {
    return this.#leftAlone;
  }

  async sendFrozen(): Promise<FrameOut[]> {
    throw new Error('a test run cannot be frozen');
  }

  async advance(ms: number, stepMs = 100): Promise<FrameOut[]> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.#setTime(this.#timeMs + Math.min(stepMs, left));
      this.#engine.tick();
    }
    this.#engine.tick();
    if (this.#isPrompt) this.#port.drain();
    return this.#released.splice(0);
  }

  idle(ms: number): void {
    this.#setTime(this.#timeMs + ms);
  }

  /** Writes a lease in the order of the vrrp process: first its beginning, then its end. */
  setLease(slot: number, forMs: number): void {
    const isValid = this.#leases.loadLong(slot, 0) > nanoseconds(this.#timeMs);
    if (forMs > 0 && !isValid) this.#leases.storeLong(leaseSlots + 1 + slot, 0, nanoseconds(this.#timeMs));
    this.#leases.storeLong(slot, 0, forMs === 0 ? 0n : nanoseconds(this.#timeMs + forMs));
  }

  setPublisher(publisher: PublisherState): void {
    const until =
      publisher === 'none' ? (1n << 63n) - 1n : publisher === 'gone' ? nanoseconds(this.#timeMs) : 1n << 61n;
    this.#leases.storeLong(publisherWord, 0, until);
    this.#port.drain();
    this.#isDeferring = publisher === 'deferring';
    if (!this.#isDeferring) for (const release of this.#deferred.splice(0)) release();
    this.#isPrompt = publisher !== 'late';
  }

  takeReleased(): FrameOut[] {
    return this.#released.splice(0);
  }

  setPeer(heard: boolean): void {
    this.#leases.storeLong(peerWord, 0, heard ? 1n << 61n : 0n);
  }

  setReachability(address: string, reachability: Reachability): void {
    this.#hops.setReachability(address as IpAddress, reachability);
  }

  setMtu(port: Side, mtu: number): void {
    this.#mtus[port] = mtu;
    this.#engine.setInterfaces(this.#interfaces());
    this.#hops.announceAll();
  }

  counters: EngineUnderTest['counters'] = () => this.#engine.counters();

  exportPage: EngineUnderTest['exportPage'] = (cursor, recordsMax) => this.#port.exportPage(cursor, recordsMax);

  expectRecords: EngineUnderTest['expectRecords'] = (forMs) => this.#port.expectRecords(forMs);
  applyBatch: EngineUnderTest['applyBatch'] = (batch) => this.#port.applyBatch(batch);

  async takeEvents(): Promise<Int32Array[]> {
    this.#port.drain();
    return this.#events.splice(0);
  }

  async close(): Promise<void> {
    await this.#port.close();
    await this.#engine.close();
    giveBackObject(this.#loaded);
  }

  #release(interfaceIndex: number, frame: Uint8Array): boolean {
    const bytes = frame.slice();
    const port = sides.find((side) => this.#indexes[side] === interfaceIndex);
    if (port === undefined || port !== sideOf(bytes))
      throw new Error('a held frame leaves by another port than it names');
    this.#released.push({ port, bytes, checksumPartial: false, segmentSize: 0 });
    return true;
  }

  #setTime(timeMs: number): void {
    this.#timeMs = timeMs;
    this.#settings.storeLong(0, SettingsLayout.testNow, nanoseconds(timeMs));
  }

  #interfaces(): XdpInterface[] {
    return sides.map((name) => ({
      name,
      index: this.#indexes[name],
      macAddress: portMac[name],
      mtu: this.#mtus[name],
    }));
  }
}

/** The suite's network as routes and neighbours: every address is on the link of one of the interfaces, and answers. */
class SuiteHops implements NextHopSource {
  readonly #indexes: Readonly<Record<Side, number>>;
  readonly #mtus: Readonly<Record<Side, number>>;
  readonly #asked = new Set<IpAddress>();
  readonly #met = new Set<IpAddress>();
  readonly missed: string[] = [];
  #isQuiet = false;
  readonly #reachability = new Map<IpAddress, Reachability>();
  #sink: NextHopSink | undefined;
  #onChanged: ((address: IpAddress, hop: Hop) => void) | undefined;

  constructor(indexes: Readonly<Record<Side, number>>, mtus: Readonly<Record<Side, number>>) {
    this.#indexes = indexes;
    this.#mtus = mtus;
  }

  follow(sink: NextHopSink, onChanged: (address: IpAddress, hop: Hop) => void): this {
    this.#sink = sink;
    this.#onChanged = onChanged;
    this.#met.clear();
    this.#writeRoutes();
    return this;
  }

  hopFor(address: IpAddress): Hop {
    this.#asked.add(address);
    const side = sideBehind(address);
    const reachability = this.#reachability.get(address) ?? 'reachable';
    if (reachability === 'unreachable') {
      return { state: 'unreachable', interfaceIndex: 0, mtu: 0, ownMacAddress: noMac, macAddress: noMac };
    }
    const resolved = reachability === 'reachable';
    return {
      state: resolved ? 'resolved' : 'resolving',
      interfaceIndex: this.#indexes[side],
      mtu: this.#mtus[side],
      ownMacAddress: portMac[side],
      macAddress: resolved ? neighbourMac(address) : noMac,
    };
  }

  setReachability(address: IpAddress, reachability: Reachability): void {
    this.#reachability.set(address, reachability);
    // The next hop of a client comes from the routes.
    const host = { address, length: familyOf(address) === 'ipv4' ? 32 : 128 };
    if (reachability === 'unreachable') this.#sink!.setRoute(host, unreachable);
    else this.#sink!.removeRoute(host);
    this.#onChanged!(address, this.hopFor(address));
  }

  /** Reports everything again, because an MTU has changed. */
  announceAll(): void {
    this.#writeRoutes();
    for (const address of this.#asked) this.#onChanged!(address, this.hopFor(address));
  }

  /** Both ends of an IP packet are neighbours that the kernel knows. */
  meet(frame: Uint8Array): void {
    if (this.#isQuiet) return;
    const etherType = (frame[12]! << 8) | frame[13]!;
    const [at, length] = etherType === 0x0800 ? [26, 4] : etherType === 0x86dd ? [22, 16] : [frame.length, 16];
    if (at + 2 * length > frame.length) return;
    for (const offset of [at, at + length]) {
      const address = ipAddressFromBytes(frame, offset, length);
      if (this.#met.has(address)) continue;
      this.#met.add(address);
      this.#sink!.setNeighbour(this.#indexes[sideBehind(address)], address, neighbourMac(address));
    }
  }

  forgetNeighbours(): void {
    this.#isQuiet = true;
    for (const address of this.#met) this.#sink!.removeNeighbour(this.#indexes[sideBehind(address)], address);
  }

  missing(interfaceIndex: number, address: IpAddress): boolean {
    this.missed.push(`${sides.find((side) => this.#indexes[side] === interfaceIndex)} ${address}`);
    return true;
  }

  release(): void {}
  setPorts(): void {}
  close(): void {}

  #writeRoutes(): void {
    const onLink = (side: Side): Route => ({
      kind: 'onLink',
      interfaceIndex: this.#indexes[side],
      mtu: this.#mtus[side],
      ownMacAddress: portMac[side],
      resolved: false,
      macAddress: noMac,
    });
    const routes: [string, number, Side][] = [
      ['0.0.0.0', 0, 'clients'],
      ['10.0.0.0', 8, 'servers'],
      ['::', 0, 'clients'],
      ['2001:db8:a::', 48, 'servers'],
    ];
    for (const [address, length, side] of routes) {
      this.#sink!.setRoute({ address: address as IpAddress, length }, onLink(side));
    }
  }
}

function sideBehind(address: IpAddress): Side {
  return familyOf(address) === 'ipv4'
    ? address.startsWith('10.')
      ? 'servers'
      : 'clients'
    : address.startsWith('2001:db8:a:')
      ? 'servers'
      : 'clients';
}

/** The suite addresses its frames to one MAC address of the director, whichever port they come in on. */
function toPort(frame: Uint8Array, port: Side): Uint8Array {
  if (Buffer.compare(frame.subarray(0, 6), portMac.clients) !== 0) return frame;
  const own = Uint8Array.from(frame);
  own.set(portMac[port]);
  return own;
}

/** The port whose MAC address a frame is from. */
function sideOf(frame: Uint8Array): Side {
  const side = sides.find((name) => Buffer.compare(portMac[name], frame.subarray(6, 12)) === 0);
  if (side === undefined) throw new Error('a frame was redirected that is from none of the ports');
  return side;
}

/** A reader that the program does not wake: the suite reads the ring when it needs to. */
function onDemand(reader: BpfRingReader): BpfRingReader {
  let end = (_: boolean): void => undefined;
  return {
    read: (recordsMax, visit) => reader.read(recordsMax, visit),
    get position() {
      return reader.position;
    },
    wait: () => new Promise((resolve) => (end = resolve)),
    stop: () => end(false),
    close: () => undefined,
  };
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.round(ms * 1e6));
}
