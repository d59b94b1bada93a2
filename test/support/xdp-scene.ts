// SPDX-License-Identifier: Apache-2.0
import type { EngineConfiguration } from '../../src/engine/engine.ts';
import type { XdpInterface } from '../../src/engine/xdp/addresses.ts';
import type { BpfMap } from '../../src/engine/xdp/bpf-object.ts';
import { AddressLayout, DestinationLayout, LoadLayout, ServiceLayout } from '../../src/engine/xdp/layout/structs.ts';
import { loadSettings } from '../../src/engine/xdp/load-settings.ts';
import { MappedArray } from '../../src/engine/xdp/mapped-array.ts';
import type { Hop, NextHopSink } from '../../src/engine/xdp/next-hops.ts';
import { type NextHopSource, XdpEngine } from '../../src/engine/xdp/xdp-engine.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { type IpAddress, ipAddressFromBytes } from '../../src/lib/ip-address.ts';
import type { CompiledService, Selector } from '../../src/model/selector.ts';
import { defaultTimeouts } from '../../src/model/timeouts.ts';
import { protocolNumbers, type RealServer, type VirtualService } from '../../src/model/virtual-service.ts';
import { type FakeRun, fakeBpfObject } from './fake-bpf.ts';

export const ip = (text: string): IpAddress => text as IpAddress;

export const xdpInterfaces: readonly XdpInterface[] = [
  { name: 'clients', index: 5, macAddress: Uint8Array.of(2, 0, 0, 0, 0, 5), mtu: 1500 },
  { name: 'servers', index: 1030, macAddress: Uint8Array.of(2, 0, 0, 0, 0, 6), mtu: 9000 },
];

const eachInTurn = (count: number): Selector => ({
  shape: 'sequence',
  slots: Uint16Array.from({ length: count }, (_, i) => i),
});

/** A service `tcp ADDRESS:PORT` that leads to `servers`, `ADDRESS:PORT` each, in turn. */
export function compiledService(
  [address, port]: readonly [string, number],
  servers: readonly (readonly [string, number] | readonly [string, number, Partial<RealServer>])[],
  more: Partial<VirtualService> & { readonly selector?: Selector; readonly alive?: readonly boolean[] } = {},
): CompiledService {
  const { selector = eachInTurn(servers.length), alive, ...service } = more;
  const realServers = servers.map(([to, toPort, terms]) => ({
    address: ip(to),
    port: toPort,
    weight: 1,
    forwardingMethod: 'masquerade' as const,
    ...terms,
  }));
  const scheduler = { name: 'rr', hashPort: false, fallback: false } as const;
  const compiled = {
    service: { address: ip(address), port, protocol: 'tcp' as const, scheduler, realServers, ...service },
    selector,
  };
  return alive === undefined ? compiled : { ...compiled, alive };
}

export function xdpConfiguration(
  services: readonly CompiledService[],
  more: Partial<EngineConfiguration> = {},
): EngineConfiguration {
  const addresses = [...new Set(services.map(({ service }) => service.address))].map((address) => ({
    address,
    interface: 'clients',
    leaseSlot: 3,
    answer: true,
  }));
  return { addresses, services, timeouts: defaultTimeouts, gracePeriodMs: 2000, ...more };
}

/** An engine over maps in memory, and the maps told in words. */
export class XdpScene {
  readonly object: ReturnType<typeof fakeBpfObject>;
  engine: XdpEngine;
  nowMs = 1_000_000;
  /** Of next hops that `hopFor` gives. */
  hopState: Hop['state'] = 'resolved';
  readonly released: string[] = [];
  sink: NextHopSink | undefined;
  onHopChanged: ((address: IpAddress, hop: Hop) => void) | undefined;

  constructor(limits: Partial<Parameters<typeof loadSettings>[0]> = {}, runs: Readonly<Record<string, FakeRun>> = {}) {
    const sizes = { halfOpenMax: 8, establishedMax: 8, destinationsMax: 16, servicesMax: 8, slotsMax: 64, ...limits };
    const settings = loadSettings(sizes, { processors: 2, clockLagNs: 0, hashSeed: 1n });
    this.object = fakeBpfObject(settings, runs);
    this.engine = this.start();
  }

  /** A director that begins on the maps as they are. */
  start(interfaces = xdpInterfaces): XdpEngine {
    const clock: Clock = { nowMs: () => this.nowMs, callAt: () => () => undefined };
    const nextHops = (sink: NextHopSink, onChanged: (address: IpAddress, hop: Hop) => void): NextHopSource => {
      this.sink = sink;
      this.onHopChanged = onChanged;
      return {
        hopFor: (address) => this.hop(address),
        release: (address) => void this.released.push(address),
        setPorts: () => undefined,
        missing: () => true,
        close: () => undefined,
      };
    };
    this.engine = new XdpEngine({ object: this.object, clock, interfaces, nextHops });
    return this.engine;
  }

  hop(address: IpAddress): Hop {
    const last = Number(address.split(/[.:]/).at(-1));
    return {
      state: this.hopState,
      interfaceIndex: 1030,
      mtu: 9000,
      ownMacAddress: xdpInterfaces[1]!.macAddress,
      macAddress: Uint8Array.of(2, 9, 0, 0, 0, last),
    };
  }

  /** Time passes, in ticks of 500 ms. */
  advance(ms: number): void {
    for (let left = ms; left > 0; left -= 500) {
      this.nowMs += Math.min(500, left);
      this.engine.tick();
    }
  }

  array(name: string): MappedArray {
    return new MappedArray(this.object.maps.get(name)!);
  }

  /** Entries of a real server, as the program counts them. */
  load(number: number, active: number): void {
    this.array('loads').writeWord(number, LoadLayout.active, active);
  }

  /** `NUMBER FLAGS ADDRESS:PORT service N > NEXT`, of all records in use. Flags: Live, Configured, Available, Weighty. */
  destinations(): string[] {
    const records = this.array('destinations');
    return Array.from({ length: records.length }, (_, number) => number).flatMap((number) => {
      const record = records.value(number);
      const port = (record[DestinationLayout.port]! << 8) | record[DestinationLayout.port + 1]!;
      if (port === 0) return [];
      const flags = record[DestinationLayout.flags]!;
      const letters = [...'LCAW'].map((letter, bit) => ((flags >> bit) & 1 ? letter : '-')).join('');
      const address = ipAddressFromBytes(record, DestinationLayout.address, (flags & 16) === 0 ? 4 : 16);
      const next = records.readHalf(number, DestinationLayout.nextWithEndpoint);
      const chain = next === 0xffff ? '' : ` > ${next}`;
      return [
        `${number} ${letters} ${address}:${port} service ${records.readHalf(number, DestinationLayout.service)}${chain}`,
      ];
    });
  }

  /** Destinations in the slots of a service's selector, or of its list. */
  slots(service: number, field: 'selector' | 'destinations' = 'selector'): string {
    const packed = this.array('services').loadLong(service, ServiceLayout[field]);
    const [first, count] = [Number(packed & 0xffff_ffffn), Number(packed >> 32n)];
    const { words } = this.array('slots');
    return Array.from({ length: count }, (_, i) => {
      const [destination, divisor] = [words[(first + i) * 2]!, words[(first + i) * 2 + 1]!];
      return `${destination === 0xffff ? '-' : destination}${divisor === 1 ? '' : `/${divisor}`}`;
    }).join(' ');
  }

  /** `ENDPOINT = NUMBER` of a map by endpoint. */
  endpoints(name: 'services4' | 'services6' | 'real_servers4' | 'real_servers6'): string[] {
    return this.#entries(name, (key, value) => {
      const length = key.length - 4;
      const protocol = key[length + 2] === protocolNumbers.tcp ? 'tcp' : 'udp';
      const port = (key[length]! << 8) | key[length + 1]!;
      return `${protocol} ${ipAddressFromBytes(key, 0, length)}:${port} = ${value[0]}`;
    });
  }

  /** `ADDRESS on INTERFACE lease SLOT answer served`. */
  addresses(): string[] {
    return (['addresses4', 'addresses6'] as const).flatMap((name) =>
      this.#entries(name, (key, value) => {
        const view = new DataView(value.buffer);
        const lease = view.getUint16(AddressLayout.leaseSlot, true);
        const flags = value[AddressLayout.flags]!;
        const words = `${(flags & 1) === 0 ? '' : ' answer'}${(flags & 2) === 0 ? '' : ' served'}`;
        return `${ipAddressFromBytes(key)} on ${view.getUint32(0, true)} lease ${lease === 0xffff ? '-' : lease}${words}`;
      }),
    );
  }

  map(name: string): BpfMap {
    return this.object.maps.get(name)!;
  }

  #entries(name: string, tell: (key: Uint8Array, value: Uint8Array) => string): string[] {
    return [...this.map(name).entries()].map(([key, value]) => tell(key, value)).sort();
  }
}
