// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress } from '../../lib/ip-address.ts';
import { type MethodRecord, methodByNumber } from '../../model/forwarding-method.ts';
import { protocolNumbers, type RealServer, type TransportProtocol } from '../../model/virtual-service.ts';
import { checksumGains, noGain } from './checksum-gains.ts';
import { isIpv6, parseWideAddress, protocolOf, type TransportEndpoint, wideAddress } from './endpoint-keys.ts';
import { readHopState, writeHop } from './hop-record.ts';
import { DestinationFlag } from './layout/enums.ts';
import { DestinationLayout, LoadLayout, TrafficLayout } from './layout/structs.ts';
import { noDestination } from './limits.ts';
import type { MappedArray } from './mapped-array.ts';
import type { Hop } from './next-hops.ts';
import type { XdpMaps } from './xdp-maps.ts';

/** The fields by which a real server is the same across configurations and restarts. */
export interface DestinationIdentity {
  /** Number of its service. */
  readonly service: number;
  readonly method: MethodRecord;
  readonly address: IpAddress;
  readonly port: number;
}

export interface Destination extends DestinationIdentity {
  readonly number: number;
  readonly protocol: TransportProtocol;
  /** Its service is configured; otherwise its entries wait for the sweep. */
  live: boolean;
  configured: boolean;
  /** When it left the configuration, on the engine's clock. */
  retiredAtMs: number;
  /** When it was found without entries, and replies were no longer looked for. */
  idleAtMs: number | undefined;
}

/** The settings of a real server that follow the configuration. */
export interface DestinationTerms {
  readonly leaseSlot: number;
  /** A connection template may lead to it. */
  readonly available: boolean;
  readonly realServer: RealServer;
}

/** A real server's counters over all processors: connections, packets and bytes in, packets and bytes out. */
export type TrafficSums = Float64Array;

/**
 * How long a number, or a part of an array, is kept free after its last use before it is given out again: every packet
 * that was on its way through the program then has left it long ago.
 */
export const graceMs = 1_000;

/** Of `struct traffic`, in the order of `TrafficSums`. */
export const trafficFields = [
  TrafficLayout.connections,
  TrafficLayout.packetsIn,
  TrafficLayout.bytesIn,
  TrafficLayout.packetsOut,
  TrafficLayout.bytesOut,
] as const;

/**
 * The real servers of all virtual services by number, as the program reads them. A real server that has left the
 * configuration keeps its number, and its connections, until the last entry has gone. The records that a former process
 * has left in the maps are taken over as they stand.
 */
export class Destinations {
  readonly #records: MappedArray;
  readonly #loads: MappedArray;
  readonly #traffic: MappedArray;
  readonly #processors: number;
  readonly #known = new Map<number, Destination>();
  /** The numbers of live real servers, by identity. */
  readonly #live = new Map<string, number>();
  readonly #byAddress = new Map<IpAddress, Set<number>>();
  readonly #free: number[] = [];

  constructor(maps: XdpMaps, nowMs: number, isLiveService: (service: number) => boolean) {
    this.#records = maps.destinations;
    this.#loads = maps.loads;
    this.#traffic = maps.traffic;
    this.#processors = maps.tallies.length;
    const length = Math.min(this.#records.length, noDestination);
    for (let number = 0; number < length; number += 1) {
      if (readNetworkPort(this.#records.value(number), DestinationLayout.port) === 0) this.#free.push(number);
      else this.#adopt(number, nowMs, isLiveService);
    }
    // The lowest are given first.
    this.#free.reverse();
  }

  /** How many more there can be. */
  get room(): number {
    return this.#free.length;
  }

  get capacity(): number {
    return this.#records.length;
  }

  get(number: number): Destination | undefined {
    return this.#known.get(number);
  }

  values(): Iterable<Destination> {
    return this.#known.values();
  }

  addresses(): Iterable<IpAddress> {
    return this.#byAddress.keys();
  }

  /** The number of a real server of a service that is configured, or was while its service has been. */
  find(identity: DestinationIdentity): number | undefined {
    return this.#live.get(identityText(identity));
  }

  /** A number, and a record that is complete but that nothing leads to yet. There is room. */
  allocate(identity: DestinationIdentity, virtual: TransportEndpoint, hop: Hop): number {
    const number = this.#free.pop();
    if (number === undefined) throw new RangeError(`there is no room for more than ${this.capacity} real servers`);
    const { address, port, method, service } = identity;
    const records = this.#records;
    const record = records.value(number).fill(0);
    this.#loads.value(number).fill(0);
    record.set(wideAddress(address), DestinationLayout.address);
    record.set(wideAddress(virtual.address), DestinationLayout.virtualAddress);
    writeNetworkPort(record, DestinationLayout.virtualPort, virtual.port);
    records.writeByte(number, DestinationLayout.method, method.number);
    records.writeByte(number, DestinationLayout.protocol, protocolNumbers[virtual.protocol]);
    records.writeHalf(number, DestinationLayout.service, service);
    records.writeHalf(number, DestinationLayout.nextWithEndpoint, noDestination);
    const gains = method.rewritesAddresses ? checksumGains(virtual, identity) : { address: noGain, endpoint: noGain };
    records.writeHalf(number, DestinationLayout.addressSum, gains.address);
    records.writeHalf(number, DestinationLayout.endpointSum, gains.endpoint);
    this.#writeHop(number, { address, method }, hop);
    // The port comes last: a record without a port is a free one.
    writeNetworkPort(record, DestinationLayout.port, port);
    const { protocol } = virtual;
    this.#remember({ service, method, address, port, number, protocol, ...lifeOf(true, 0) });
    return number;
  }

  /** The real server stands in the configuration, on these terms. */
  configure(number: number, { leaseSlot, available, realServer }: DestinationTerms): void {
    const known = this.#known.get(number)!;
    known.configured = true;
    known.idleAtMs = undefined;
    this.setLease(number, leaseSlot);
    this.#setLimits(number, realServer);
    const flags =
      DestinationFlag.live |
      DestinationFlag.configured |
      (available ? DestinationFlag.available : 0) |
      (realServer.weight > 0 ? DestinationFlag.weighty : 0);
    this.#setFlags(known, flags);
  }

  /** The real server has left the configuration: its connections go on. */
  retire(number: number, nowMs: number): void {
    const known = this.#known.get(number)!;
    if (known.configured) known.retiredAtMs = nowMs;
    known.configured = false;
    this.#setFlags(known, DestinationFlag.live);
  }

  /** Its service has left the configuration: its entries are dead. */
  abandon(number: number, nowMs: number): void {
    const known = this.#known.get(number)!;
    this.retire(number, nowMs);
    known.live = false;
    this.#live.delete(identityText(known));
    this.#setFlags(known, 0);
  }

  setLease(number: number, leaseSlot: number): void {
    this.#records.writeHalf(number, DestinationLayout.leaseSlot, leaseSlot);
  }

  /** Entries and templates that hold it. */
  isHeld(number: number): boolean {
    const loads = this.#loads;
    const { active, inactive, templates } = LoadLayout;
    return [active, inactive, templates].some((field) => loads.readSigned(number, field) > 0);
  }

  activeConnections(number: number): number {
    return Math.max(0, this.#loads.readSigned(number, LoadLayout.active));
  }

  inactiveConnections(number: number): number {
    return Math.max(0, this.#loads.readSigned(number, LoadLayout.inactive));
  }

  /** Adds its counters to `sums`. */
  addTraffic(number: number, sums: TrafficSums): void {
    for (let processor = 0; processor < this.#processors; processor += 1) {
      const index = processor * this.#records.length + number;
      for (const [i, field] of trafficFields.entries()) sums[i]! += this.#traffic.readCounter(index, field);
    }
  }

  /** Writes another hop for the real servers with this address. */
  setHop(address: IpAddress, hop: Hop): void {
    for (const number of this.#byAddress.get(address) ?? []) {
      this.#writeHop(number, this.#known.get(number)!, hop);
    }
  }

  /** Writes a hop unless it is unresolved and the present one, perhaps of a former process, is resolved. */
  improveHop(address: IpAddress, hop: Hop): void {
    for (const number of this.#byAddress.get(address) ?? []) {
      const before = readHopState(this.#records, this.#records.at(number, DestinationLayout.hop));
      if (hop.state === 'resolved' || before !== 'resolved') this.#writeHop(number, this.#known.get(number)!, hop);
    }
  }

  /** Writes a hop, with the MTU less the bytes that the method puts in front. */
  #writeHop(number: number, { address, method }: Pick<DestinationIdentity, 'address' | 'method'>, hop: Hop): void {
    const mtu = Math.max(0, hop.mtu - method.bytesInFront[familyOf(address)]);
    writeHop(this.#records, this.#records.at(number, DestinationLayout.hop), { ...hop, mtu });
  }

  /** Gives the number back. Nothing refers to it any more; true when nothing has this address any more either. */
  free(number: number): boolean {
    const known = this.#known.get(number)!;
    this.#known.delete(number);
    if (known.live) this.#live.delete(identityText(known));
    this.#records.value(number).fill(0);
    for (let processor = 0; processor < this.#processors; processor += 1) {
      this.#traffic.value(processor * this.#records.length + number).fill(0);
    }
    this.#free.push(number);
    const sharers = this.#byAddress.get(known.address)!;
    sharers.delete(number);
    if (sharers.size > 0) return false;
    this.#byAddress.delete(known.address);
    return true;
  }

  get nextWithEndpoint(): { get(number: number): number; set(number: number, next: number): void } {
    const records = this.#records;
    const field = DestinationLayout.nextWithEndpoint;
    return {
      get: (number) => records.readHalf(number, field),
      set: (number, next) => records.writeHalf(number, field, next),
    };
  }

  /** A threshold that is raised or taken away ends an overload (__ip_vs_update_dest in ip_vs_ctl.c). */
  #setLimits(number: number, server: RealServer): void {
    const { upperThreshold = 0, lowerThreshold = 0, connectionRateMax = 0 } = server;
    const before = this.#records.readWord(number, DestinationLayout.upperThreshold);
    this.#records.writeWord(number, DestinationLayout.lowerThreshold, lowerThreshold);
    this.#records.writeWord(number, DestinationLayout.upperThreshold, upperThreshold);
    this.#records.writeWord(number, DestinationLayout.rateMax, connectionRateMax);
    if (upperThreshold === 0 || upperThreshold > before) this.#loads.writeWord(number, LoadLayout.overloaded, 0);
  }

  #setFlags({ number, address }: Destination, flags: number): void {
    this.#records.writeByte(number, DestinationLayout.flags, flags | (isIpv6(address) ? DestinationFlag.ipv6 : 0));
  }

  #adopt(number: number, nowMs: number, isLiveService: (service: number) => boolean): void {
    const records = this.#records;
    const record = records.value(number);
    const flags = records.readByte(number, DestinationLayout.flags);
    const service = records.readHalf(number, DestinationLayout.service);
    const family = (flags & DestinationFlag.ipv6) !== 0 ? 'ipv6' : 'ipv4';
    const identity = {
      service,
      method: requiredMethod(records.readByte(number, DestinationLayout.method)),
      address: parseWideAddress(record.subarray(DestinationLayout.address), family),
      port: readNetworkPort(record, DestinationLayout.port),
    };
    const live = (flags & DestinationFlag.live) !== 0 && isLiveService(service) && this.find(identity) === undefined;
    const protocol = protocolOf(records.readByte(number, DestinationLayout.protocol));
    const known = { ...identity, number, protocol, ...lifeOf(live, nowMs) };
    known.configured = live && (flags & DestinationFlag.configured) !== 0;
    this.#remember(known);
    if (!live) this.#setFlags(known, 0);
  }

  #remember(known: Destination): void {
    this.#known.set(known.number, known);
    if (known.live) this.#live.set(identityText(known), known.number);
    const sharers = this.#byAddress.get(known.address);
    if (sharers === undefined) this.#byAddress.set(known.address, new Set([known.number]));
    else sharers.add(known.number);
  }
}

function lifeOf(
  live: boolean,
  retiredAtMs: number,
): Pick<Destination, 'live' | 'configured' | 'retiredAtMs' | 'idleAtMs'> {
  return { live, configured: false, retiredAtMs, idleAtMs: undefined };
}

function identityText({ service, method, address, port }: DestinationIdentity): string {
  return `${service} ${method.name} ${address} ${port}`;
}

function requiredMethod(number: number): MethodRecord {
  const method = methodByNumber(number);
  if (method !== undefined) return method;
  throw new Error(`the running XDP program has a forwarding method ${number}; restart baton with --cleanup`);
}

function readNetworkPort(record: Uint8Array, field: number): number {
  return (record[field]! << 8) | record[field + 1]!;
}

function writeNetworkPort(record: Uint8Array, field: number, port: number): void {
  record[field + 1] = port;
  record[field] = port >> 8;
}
