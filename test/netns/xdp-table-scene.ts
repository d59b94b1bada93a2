// SPDX-License-Identifier: Apache-2.0
import type { EngineConfiguration } from '../../src/engine/engine.ts';
import type { BpfDescriptor, BpfObject } from '../../src/engine/xdp/bpf-object.ts';
import { EntryHead } from '../../src/engine/xdp/layout/enums.ts';
import {
  Entry4Layout,
  Entry6Layout,
  EntryLayout,
  HalfOpenSlotLayout,
  LoadLayout,
  SettingsLayout,
  TotalsLayout,
} from '../../src/engine/xdp/layout/structs.ts';
import { loadSettings } from '../../src/engine/xdp/load-settings.ts';
import { MappedArray } from '../../src/engine/xdp/mapped-array.ts';
import type { Hop, NextHopSink } from '../../src/engine/xdp/next-hops.ts';
import { type NextHopSource, XdpEngine } from '../../src/engine/xdp/xdp-engine.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { type IpAddress, ipAddressBytes } from '../../src/lib/ip-address.ts';
import { Sign } from '../../src/model/lease.ts';
import type { CompiledService, Selector } from '../../src/model/selector.ts';
import type { RealServer, VirtualService } from '../../src/model/virtual-service.ts';
import { attachXdp } from '../../src/platform/linux/bpf/attachment.ts';
import { loadBpfObject } from '../../src/platform/linux/bpf/load.ts';
import { loadPassProgram } from '../../src/platform/linux/bpf/pass-program.ts';
import { possibleCpuCount } from '../../src/platform/linux/bpf/possible-cpus.ts';
import { LeaseMemory } from '../../src/platform/linux/process/lease-memory.ts';
import { connectionOverhead } from '../../src/scheduler/least.ts';
import { Flags, packetFrame, tcpOf, udpOf } from '../contract/packets.ts';
import { enterPrivateNamespace, makeInterface } from '../support/private-namespace.ts';

// A table so small that it is often full, and its recount.

/** The input of a thread that works on the table. */
export interface TableWorkerTask {
  readonly role: 'packets' | 'peer';
  readonly seed: number;
  readonly descriptors: readonly BpfDescriptor[];
  readonly interfaceIndex: number;
  /** Two words: the first is not 0 when the threads are to end, the second counts the threads that have begun. */
  readonly stop: Int32Array;
}

/** The result of such a thread. */
export interface TableWorkerReport {
  readonly role: TableWorkerTask['role'];
  /** Program runs, or records imported. */
  readonly count: number;
  readonly verdicts: Readonly<Record<string, number>>;
}

export interface Recount {
  readonly totals: Readonly<Record<string, number>>;
  /** `NUMBER active inactive templates`, for each destination that has any. */
  readonly loads: readonly string[];
  readonly busy: number;
  /** Entries with the key of another entry. */
  readonly duplicates: number;
  /** Half-open entries that no position of the ring leads to. */
  readonly unreachable: number;
  readonly used: number;
}

export const ownMac = Uint8Array.of(2, 0, 0, 0, 0, 5);
const clientsPerFamily = 6;
const portsPerClient = 6;
const ip = (text: string): IpAddress => text as IpAddress;
export const sceneFamilies = ['ipv4', 'ipv6'] as const;
type SceneFamily = (typeof sceneFamilies)[number];
const addressOf = {
  ipv4: {
    virtual: '192.0.2.80',
    server: (n: number) => `10.0.0.${n}`,
    client: (n: number) => `198.51.100.${16 * n + 1}`,
  },
  ipv6: {
    virtual: '2001:db8::80',
    server: (n: number) => `2001:db8:a::${n}`,
    client: (n: number) => `2001:db8:c::${n}1`,
  },
} as const;

export function virtualAddressBytes(family: SceneFamily): Uint8Array {
  return ipAddressBytes(ip(addressOf[family].virtual));
}

export class TableScene {
  readonly object: BpfObject;
  readonly engine: XdpEngine;
  readonly interfaceIndex: number;
  readonly loadedInMs: number;
  nowMs = 1_000_000;
  readonly #settings: MappedArray;
  readonly #leases: MappedArray;

  constructor() {
    enterPrivateNamespace();
    this.interfaceIndex = makeInterface('wire', ownMac);
    attachXdp({ fd: loadPassProgram() }, this.interfaceIndex);
    const sizes = { halfOpenMax: 24, establishedMax: 48, destinationsMax: 64, servicesMax: 16, slotsMax: 512 };
    const host = { processors: possibleCpuCount(), clockLagNs: 0, hashSeed: 42n, testClock: true };
    const began = performance.now();
    this.object = loadBpfObject(loadSettings(sizes, host));
    this.loadedInMs = performance.now() - began;
    this.#settings = new MappedArray(this.object.maps.get('.data.settings')!);
    this.#leases = new MappedArray(this.object.maps.get('leases')!);
    this.advance(0);
    this.setLease(true);
    // Nobody else publishes here: without the word no connection would be admitted.
    LeaseMemory.attach(this.object.maps.get('leases')!.fd).sign(Sign.publisher, Number.POSITIVE_INFINITY);
    const clock: Clock = { nowMs: () => this.nowMs, callAt: () => () => undefined };
    const interfaces = [{ name: 'wire', index: this.interfaceIndex, macAddress: ownMac, mtu: 1500 }];
    const nextHops = (sink: NextHopSink): NextHopSource => this.#hops(sink);
    this.engine = new XdpEngine({ object: this.object, clock, interfaces, nextHops });
    this.engine.completeNextHops();
  }

  advance(ms: number): void {
    this.nowMs += ms;
    this.#settings.storeLong(0, SettingsLayout.testNow, BigInt(Math.round(this.nowMs * 1e6)));
  }

  setLease(valid: boolean): void {
    this.#leases.storeLong(0, 0, valid ? 1n << 62n : 0n);
  }

  recount(): Recount {
    return recount(this.object);
  }

  #hops(sink: NextHopSink): NextHopSource {
    const index = this.interfaceIndex;
    const onLink = { kind: 'onLink', interfaceIndex: index, mtu: 1500, ownMacAddress: ownMac } as const;
    for (const address of ['0.0.0.0', '::']) {
      sink.setRoute({ address: ip(address), length: 0 }, { ...onLink, resolved: false, macAddress: new Uint8Array(6) });
    }
    for (const family of sceneFamilies) {
      for (let n = 0; n < clientsPerFamily; n += 1) sink.setNeighbour(index, ip(addressOf[family].client(n)), ownMac);
    }
    // All neighbours have the director's own MAC address, so that a forwarded frame can be sent in again.
    const hop: Hop = { state: 'resolved', interfaceIndex: index, mtu: 1500, ownMacAddress: ownMac, macAddress: ownMac };
    return {
      hopFor: () => hop,
      release: () => undefined,
      setPorts: () => undefined,
      missing: () => true,
      close: () => undefined,
    };
  }
}

/** Services of both families. An odd `variant` lacks one of them and some real servers, and has other thresholds. */
export function tableConfiguration(variant: number): EngineConfiguration {
  const odd = variant % 2 === 1;
  const services = sceneFamilies.flatMap((family) => [
    service(
      family,
      'tcp',
      80,
      'masquerade',
      odd ? 3 : 2,
      least(2),
      { upperThreshold: odd ? 6 : 9, lowerThreshold: 4 },
      true,
    ),
    service(
      family,
      'tcp',
      81,
      'direct-route',
      3,
      inTurn(odd ? 2 : 3),
      { upperThreshold: odd ? 2 : 3 },
      variant % 3 === 1,
    ),
    service(family, 'udp', 80, 'masquerade', odd ? 1 : 3, inTurn(odd ? 1 : 3), {}, false),
    ...(odd ? [] : [service(family, 'udp', 81, 'direct-route', 2, least(2), {}, true)]),
  ]);
  const addresses = sceneFamilies.map((family) => ({
    address: ip(addressOf[family].virtual),
    interface: 'wire',
    leaseSlot: 0,
    answer: true,
  }));
  return { addresses, services, timeouts: { tcpMs: 20_000, tcpFinMs: 6_000, udpMs: 9_000 }, gracePeriodMs: 0 };
}

const least = (count: number): Selector => ({
  shape: 'least',
  overhead: connectionOverhead,
  candidates: Array.from({ length: count }, (_, realServer) => ({ realServer, divisor: 1 })),
});

const inTurn = (count: number): Selector => ({
  shape: 'sequence',
  slots: Uint16Array.from({ length: count }, (_, i) => i),
});

function service(
  family: SceneFamily,
  protocol: 'tcp' | 'udp',
  port: number,
  forwardingMethod: RealServer['forwardingMethod'],
  count: number,
  selector: Selector,
  terms: Partial<RealServer>,
  persistent: boolean,
): CompiledService {
  const realServers = Array.from({ length: count }, (_, n) => ({
    address: ip(addressOf[family].server(n + 1)),
    port: forwardingMethod === 'masquerade' ? 8000 + port : port,
    weight: 1,
    forwardingMethod,
    ...terms,
  }));
  const prefixLength = family === 'ipv4' ? 28 : 124;
  const virtual: VirtualService = {
    address: ip(addressOf[family].virtual),
    port,
    protocol,
    realServers,
    scheduler: { name: 'rr', hashPort: false, fallback: false },
    ...(persistent ? { persistence: { timeoutMs: 5_000, prefixLength } } : {}),
  };
  return { service: virtual, selector };
}

/** Every packet of every flow, flow by flow. */
export function tableFrames(): readonly Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let n = 0; n < clientsPerFamily * portsPerClient; n += 1) {
    for (const family of sceneFamilies) {
      const { virtual, server, client } = addressOf[family];
      const source = client(n % clientsPerFamily);
      const sourcePort = 40_000 + Math.floor(n / clientsPerFamily);
      for (const port of [80, 81]) {
        const flow = { source, sourcePort, destination: virtual, destinationPort: port };
        const ends = { source, destination: virtual, destinationMac: ownMac };
        const inward = [Flags.syn, Flags.syn, Flags.ack, Flags.ack, Flags.fin, Flags.rst].map((flags) =>
          packetFrame({ ...ends, protocol: 6, payload: tcpOf(flow, flags) }),
        );
        const data = tcpOf(flow, Flags.ack, Uint8Array.of(1), { sequence: 1001, acknowledgement: n });
        inward.push(packetFrame({ ...ends, protocol: 6, payload: data }));
        inward.push(packetFrame({ ...ends, protocol: 17, payload: udpOf(flow, Uint8Array.of(1, 2)) }));
        frames.push(...inward);
        if (port === 81) continue;
        for (let s = 1; s <= 3; s += 1) {
          const reply = { source: server(s), sourcePort: 8080, destination: source, destinationPort: sourcePort };
          const back = { source: server(s), destination: source, destinationMac: ownMac };
          for (const flags of [Flags.synAck, Flags.ack, Flags.fin, Flags.rst]) {
            frames.push(packetFrame({ ...back, protocol: 6, payload: tcpOf(reply, flags) }));
          }
          frames.push(packetFrame({ ...back, protocol: 17, payload: udpOf(reply, Uint8Array.of(3)) }));
        }
      }
    }
  }
  return frames;
}

const totalNames = [
  'halfOpen',
  'established',
  'halfOpenTemplates',
  'establishedTemplates',
  'establishedUdp',
  'secondClass',
] as const;

/** The content of the tables and counters, in words that can be compared. */
export function recount(object: BpfObject): Recount {
  const found = Object.fromEntries(totalNames.map((name) => [name, 0])) as Record<(typeof totalNames)[number], number>;
  const perFamily = [0, 0];
  const loads = new Map<number, [number, number, number]>();
  const keys = new Map<string, number>();
  const ring = new Ring(object);
  let [busy, unreachable, duplicates] = [0, 0, 0];
  for (const slot of slotsOf(object)) {
    if ((slot.head & EntryHead.busy) !== 0) busy += 1;
    if ((slot.head & EntryHead.used) === 0) continue;
    perFamily[slot.family] = perFamily[slot.family]! + 1;
    const template = (slot.head & EntryHead.template) !== 0;
    const halfOpen = (slot.head & EntryHead.halfOpen) !== 0;
    found[halfOpen ? 'halfOpen' : 'established'] += 1;
    if (template) found[halfOpen ? 'halfOpenTemplates' : 'establishedTemplates'] += 1;
    else if (!halfOpen && (slot.head & EntryHead.protocol) === 17) found.establishedUdp += 1;
    else if (!halfOpen && (slot.head & EntryHead.secondClass) !== 0) found.secondClass += 1;
    if (halfOpen && !ring.leadsTo(slot.stamp, slot.reference)) unreachable += 1;
    const load = loads.get(slot.destination) ?? [0, 0, 0];
    load[template ? 2 : (slot.head & EntryHead.state) >>> 8 === 1 ? 0 : 1]! += 1;
    loads.set(slot.destination, load);
    if (keys.has(slot.key)) duplicates += 1;
    keys.set(slot.key, 1);
  }
  return {
    totals: { ...found, entries4: perFamily[0]!, entries6: perFamily[1]! },
    loads: [...loads].map(([number, counts]) => `${number} ${counts.join(' ')}`).sort(),
    busy,
    duplicates,
    unreachable,
    used: perFamily[0]! + perFamily[1]!,
  };
}

/** The program's counters, in the words of `recount`. */
export function counted(object: BpfObject): Pick<Recount, 'totals' | 'loads'> {
  const totals = new MappedArray(object.maps.get('.data.totals')!);
  const loads = new MappedArray(object.maps.get('loads')!);
  const lines: string[] = [];
  for (let number = 0; number < loads.length; number += 1) {
    const fields = [LoadLayout.active, LoadLayout.inactive, LoadLayout.templates];
    const counts = fields.map((field) => loads.readSigned(number, field));
    if (counts.some((count) => count !== 0)) lines.push(`${number} ${counts.join(' ')}`);
  }
  const read = (name: keyof typeof TotalsLayout): number => totals.readSigned(0, TotalsLayout[name]);
  return {
    totals: {
      ...Object.fromEntries(totalNames.map((name) => [name, read(name)])),
      entries4: read('entries4'),
      entries6: read('entries6'),
    },
    loads: lines.sort(),
  };
}

/** Destinations marked as overloaded that have no connection: no end of a connection could clear the mark. */
export function stuckDestinations(object: BpfObject): number[] {
  const loads = new MappedArray(object.maps.get('loads')!);
  return Array.from({ length: loads.length }, (_, number) => number).filter(
    (number) =>
      loads.readWord(number, LoadLayout.overloaded) !== 0 &&
      loads.readSigned(number, LoadLayout.active) + loads.readSigned(number, LoadLayout.inactive) === 0,
  );
}

interface Slot {
  readonly family: 0 | 1;
  readonly reference: number;
  readonly key: string;
  readonly head: number;
  readonly stamp: number;
  readonly destination: number;
}

function* slotsOf(object: BpfObject): Generator<Slot> {
  const layouts = [Entry4Layout, Entry6Layout] as const;
  for (const family of [0, 1] as const) {
    const layout = layouts[family];
    const { bytes } = new MappedArray(object.maps.get(family === 0 ? 'table4' : 'table6')!);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += layout.size) {
      const entry = at + layout.common;
      const head = view.getUint32(entry + EntryLayout.head, true);
      const flow = Buffer.from(bytes.subarray(at + layout.client, entry + EntryLayout.head)).toString('hex');
      yield {
        family,
        reference: (at / layout.size + (family === 0 ? 0 : 0x8000_0000)) >>> 0,
        key: `${family} ${head & (EntryHead.protocol | EntryHead.template)} ${flow}`,
        head,
        stamp: view.getUint32(entry + EntryLayout.stamp, true),
        destination: view.getUint16(entry + EntryLayout.destination, true),
      };
    }
  }
}

/** The ring that keeps the order of half-open entries. */
class Ring {
  readonly #slots: MappedArray;
  readonly #head: number;
  readonly #tail: number;

  constructor(object: BpfObject) {
    const totals = new MappedArray(object.maps.get('.data.totals')!);
    this.#slots = new MappedArray(object.maps.get('half_open_ring')!);
    this.#head = totals.readWord(0, TotalsLayout.ringHead);
    this.#tail = totals.readWord(0, TotalsLayout.ringTail);
  }

  /** Whether a position is between tail and head and belongs to this entry. */
  leadsTo(position: number, reference: number): boolean {
    const slot = position % this.#slots.length;
    return (
      (position - this.#head) >>> 0 < (this.#tail - this.#head) >>> 0 &&
      this.#slots.readWord(slot, HalfOpenSlotLayout.position) === position &&
      this.#slots.readWord(slot, HalfOpenSlotLayout.reference) === reference
    );
  }
}
