// SPDX-License-Identifier: Apache-2.0
import type { NextHop, NextHopResolver } from '../../src/engine/portable/next-hop.ts';
import type { PacketPort } from '../../src/engine/portable/packet-port.ts';
import { PortableEngine } from '../../src/engine/portable/portable-engine.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { EtherType, readEtherType } from '../../src/wire/ethernet.ts';
import { MemoryPort } from '../support/memory-port.ts';
import {
  type EngineUnderTest,
  type FrameOut,
  type MakeEngine,
  neighbourMac,
  portMac,
  type Reachability,
} from './engine-under-test.ts';

class FakeHop implements NextHop {
  state: NextHop['state'] = 'resolved';
  port: PacketPort | undefined;
  readonly macAddress: Uint8Array;

  constructor(port: PacketPort, macAddress: Uint8Array) {
    this.port = port;
    this.macAddress = macAddress;
  }
}

/** The portable engine with ports, clock, leases and next hops in memory. */
export const makePortableEngine: MakeEngine = (limits) => {
  const ports = { clients: new MemoryPort('clients', 1), servers: new MemoryPort('servers', 2) };
  const leases = new Map<number, number>();
  const hops = new Map<string, FakeHop>();
  const events: Int32Array[] = [];
  let time = 1_000_000;
  // How far time jumps at the second reading of the clock: the one before sending.
  let freeze = 0;
  let readings = 0;
  let hopsChanged = false;
  let publisherUntilMs = Number.POSITIVE_INFINITY;
  let hearsPeer = false;
  let isPrompt = true;
  let handed = 0;
  let taken = 0;
  let isDeferring = false;
  let released = 0;

  const portTowards = (address: string): MemoryPort =>
    /^(10\.|2001:db8:a:)/.test(address) ? ports.servers : ports.clients;
  const hop = (address: string): FakeHop => {
    const known = hops.get(address) ?? new FakeHop(portTowards(address), neighbourMac(address));
    hops.set(address, known);
    return known;
  };
  const resolver: NextHopResolver = {
    resolve: (address: IpAddress) => hop(address),
    update: () => {
      const changed = hopsChanged;
      hopsChanged = false;
      return changed;
    },
  };
  const nowMs = (): number => {
    readings += 1;
    if (freeze > 0 && readings === 2) {
      time += freeze;
      freeze = 0;
    }
    return time;
  };
  const engine = new PortableEngine({
    ports: [ports.clients, ports.servers],
    resolver,
    leases: { validUntilMs: (slot) => leases.get(slot) ?? 0 },
    publisher: {
      publisherUntilMs: () => publisherUntilMs,
      peerUntilMs: () => (hearsPeer ? Number.MAX_SAFE_INTEGER : 0),
      takenBatch: () => taken,
      releasedBatch: () => released,
    },
    nowMs,
    limits: { ...limits, hashSeed: 42 },
    clientHopsMax: 16,
  });
  engine.onEvents((batch) => {
    events.push(batch);
    handed = engine.publisherWatch.hand(time);
    if (isPrompt) taken = handed;
    if (isPrompt && !isDeferring) released = handed;
  });
  const left: FrameOut[] = [];
  const framesOf = (): FrameOut[] =>
    (['clients', 'servers'] as const).flatMap((port) => ports[port].taken().map((frame) => ({ port, ...frame })));
  /** Held SYNs that a publisher has released between two steps have left first. */
  const takeFrames = (): FrameOut[] => [...left.splice(0), ...framesOf()];

  /** A late publisher is handed events at once. A prompt one has taken them by now, and held SYNs leave. */
  const settle = (): void => {
    if (!isPrompt) engine.flushEvents();
    else engine.processBatch();
  };

  const underTest: EngineUnderTest = {
    configure: async (configuration) => {
      engine.configure(configuration);
      settle();
    },
    send: async (port, frame, options) => {
      if (!passesInterface(frame)) return [];
      if (isTagged(frame)) {
        ports[port].counters.vlanTagged += 1;
        return [];
      }
      ports[port].deliver(frame, options);
      engine.processBatch();
      settle();
      return takeFrames();
    },
    sendFrozen: async (port, frame, ms) => {
      ports[port].deliver(frame);
      freeze = ms;
      readings = 0;
      engine.processBatch();
      return takeFrames();
    },
    advance: async (ms, stepMs = 100) => {
      // In steps as a loop would take them; the last one ends exactly at the requested time.
      for (let left = ms; left > 0; left -= stepMs) {
        time += Math.min(stepMs, left);
        engine.tick();
      }
      engine.tick();
      settle();
      return takeFrames();
    },
    idle: (ms) => {
      time += ms;
      engine.processBatch();
    },
    setLease: (slot, forMs) => leases.set(slot, forMs === 0 ? 0 : time + forMs),
    setPublisher: (publisher) => {
      publisherUntilMs = publisher === 'none' ? Number.POSITIVE_INFINITY : publisher === 'gone' ? time : 9e12 - 1;
      engine.flushEvents();
      taken = handed;
      const deferred = isDeferring;
      isDeferring = publisher === 'deferring';
      if (!deferred || !isDeferring) released = handed;
      engine.processBatch();
      left.push(...framesOf());
      isPrompt = publisher !== 'late';
    },
    takeReleased: () => left.splice(0),
    setPeer: (heard) => {
      hearsPeer = heard;
    },
    setReachability: (address: string, reachability: Reachability) => {
      hop(address).state = reachability === 'reachable' ? 'resolved' : reachability;
      hop(address).port = reachability === 'unreachable' ? undefined : portTowards(address);
      hopsChanged = true;
    },
    setMtu: (port, mtu) => {
      ports[port].mtu = mtu;
    },
    counters: async () => engine.counters(),
    exportPage: async (cursor, recordsMax) => engine.exportPage(cursor, recordsMax),
    expectRecords: (forMs) => engine.expectRecords(forMs),
    applyBatch: async (batch) => {
      const outcome = engine.applyBatch(batch);
      settle();
      return outcome;
    },
    takeEvents: async () => {
      engine.flushEvents();
      return events.splice(0);
    },
    close: async () => undefined,
  };
  return underTest;
};

/** An interface that is not promiscuous takes frames to its own address and to groups. */
function passesInterface(frame: Uint8Array): boolean {
  if (frame.length < 14 || (frame[0]! & 1) === 1) return true;
  return Object.values(portMac).some((mac) => Buffer.compare(mac, frame.subarray(0, 6)) === 0);
}

/** The kernel removes the tag before a packet socket sees the frame, but reports it; the packet ring refuses it. */
function isTagged(frame: Uint8Array): boolean {
  if (frame.length < 14) return false;
  const etherType = readEtherType(frame, 0);
  return etherType === EtherType.vlan || etherType === EtherType.serviceVlan;
}
