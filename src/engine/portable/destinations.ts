// SPDX-License-Identifier: Apache-2.0
import { isActiveTcpState } from '../../connection/lifecycle.ts';
import { familyOf } from '../../lib/ip-address.ts';
import { forwardingMethods, type MethodRecord, nextHopTarget } from '../../model/forwarding-method.ts';
import type { TcpState } from '../../model/tcp-state.ts';
import type { RealServer } from '../../model/virtual-service.ts';
import { EntryFlag } from './entry-layout.ts';
import { addressWords } from './key-index.ts';
import type { NextHop, NextHopResolver } from './next-hop.ts';
import type { RunningService } from './running-service.ts';

/** Fields of `Destinations.traffic`, `trafficFields` per destination. */
export const Traffic = { connections: 0, packetsIn: 1, bytesIn: 2, packetsOut: 3, bytesOut: 4 } as const;
export const trafficFields = 5;

const destinationsInitial = 64;
const ratePeriodMs = 1000;
/** Entries hold a destination by number; the bound keeps a broken configuration from eating the memory. */
const destinationsMax = 65_536;

/**
 * The real servers of all virtual services by number, as the packet path reads them. A real server that has left the
 * configuration keeps its number, and its connections, until the last entry has gone.
 */
export class Destinations {
  /** Four words per destination. */
  addresses = new Int32Array(destinationsInitial * 4);
  ports = new Uint16Array(destinationsInitial);
  /** Bytes that each real server's forwarding method puts in front of a packet. */
  bytesInFront = new Uint8Array(destinationsInitial);
  leaseSlots = new Int32Array(destinationsInitial);
  active = new Int32Array(destinationsInitial);
  inactive = new Int32Array(destinationsInitial);
  /** Connection templates: they hold their destination, and count as no connection. */
  templates = new Int32Array(destinationsInitial);
  upperThresholds = new Uint32Array(destinationsInitial);
  lowerThresholds = new Uint32Array(destinationsInitial);
  /** 1: the real server takes no new connection until it has fallen below its lower threshold. */
  overloaded = new Uint8Array(destinationsInitial);
  /** 1: configured, and left in by its health checks, quiesced or not. 0: its entries do not live on their clients alone. */
  alive = new Uint8Array(destinationsInitial);
  /** New connections a second; 0: no limit. */
  rateMax = new Uint32Array(destinationsInitial);
  /** The second in which new connections are counted: when it began, and how many there have been. */
  rateSince = new Float64Array(destinationsInitial);
  rateCount = new Uint32Array(destinationsInitial);
  traffic = new Float64Array(destinationsInitial * trafficFields);
  /** Undefined once the virtual service has been removed: its entries are dead. */
  readonly services: (RunningService | undefined)[] = [];
  readonly nextHops: (NextHop | undefined)[] = [];
  readonly realServers: (RealServer | undefined)[] = [];
  readonly methods: MethodRecord[] = [];
  readonly #free: number[] = [];

  /** Whether the replies of a real server pass here. */
  seesReplies(destination: number): boolean {
    return this.methods[destination]!.seesReplies;
  }

  sameEndpoint(a: number, b: number): boolean {
    const { addresses } = this;
    for (let i = 0; i < 4; i += 1) if (addresses[(a << 2) + i] !== addresses[(b << 2) + i]) return false;
    return this.ports[a] === this.ports[b];
  }

  /** Whether replies that pass here carry this source: the address in the first four words, and the port. */
  repliesFrom(destination: number, words: Int32Array, port: number): boolean {
    for (let i = 0; i < 4; i += 1) if (this.addresses[(destination << 2) + i] !== words[i]) return false;
    return this.ports[destination] === port && this.seesReplies(destination);
  }

  /** An entry in `state` has come (1) or gone (-1). `head` is its `EntryWord.head`. */
  countEntry(destination: number, state: number, head: number, by: number): void {
    if ((head & EntryFlag.template) !== 0) {
      this.templates[destination]! += by;
      return;
    }
    if (isActiveTcpState(state as TcpState)) this.active[destination]! += by;
    else this.inactive[destination]! += by;
    if (this.upperThresholds[destination] !== 0) this.#weighLoad(destination, by);
  }

  /** An entry has gone from one state to another: as many connections as before. */
  countTransition(destination: number, before: number, after: number): void {
    const change = (isActiveTcpState(after as TcpState) ? 1 : 0) - (isActiveTcpState(before as TcpState) ? 1 : 0);
    this.active[destination]! += change;
    this.inactive[destination]! -= change;
  }

  /**
   * Overload begins when a connection comes and the upper threshold is reached, and ends when one goes and fewer than
   * the lower threshold are left; where there is none, fewer than three quarters of the upper (ip_vs_bind_dest and
   * ip_vs_unbind_dest in ip_vs_conn.c).
   */
  #weighLoad(destination: number, by: number): void {
    const total = this.active[destination]! + this.inactive[destination]!;
    const upper = this.upperThresholds[destination]!;
    const lower = this.lowerThresholds[destination]!;
    if (by > 0) {
      if (total >= upper) this.overloaded[destination] = 1;
    } else if (lower !== 0 ? total < lower : total * 4 < upper * 3) {
      this.overloaded[destination] = 0;
    }
  }

  /** A threshold that is raised or taken away ends an overload (__ip_vs_update_dest in ip_vs_ctl.c). */
  #setLimits(destination: number, server: RealServer): void {
    const { upperThreshold = 0, lowerThreshold = 0, connectionRateMax = 0 } = server;
    if (upperThreshold === 0 || upperThreshold > this.upperThresholds[destination]!) this.overloaded[destination] = 0;
    this.upperThresholds[destination] = upperThreshold;
    this.lowerThresholds[destination] = lowerThreshold;
    this.rateMax[destination] = connectionRateMax;
  }

  /** Whether a real server takes no new connection at present, for its thresholds or for its rate. */
  isOverloaded(destination: number, nowMs: number): boolean {
    if (this.overloaded[destination] === 1) return true;
    const rateMax = this.rateMax[destination]!;
    if (rateMax === 0) return false;
    return nowMs - this.rateSince[destination]! < ratePeriodMs && this.rateCount[destination]! >= rateMax;
  }

  /** Counts a new connection against the rate. */
  countRate(destination: number, nowMs: number): void {
    if (this.rateMax[destination] === 0) return;
    if (nowMs - this.rateSince[destination]! >= ratePeriodMs) {
      this.rateSince[destination] = nowMs;
      this.rateCount[destination] = 1;
    } else {
      this.rateCount[destination]! += 1;
    }
  }

  countIn(destination: number, bytes: number): void {
    const at = destination * trafficFields;
    this.traffic[at + Traffic.packetsIn]! += 1;
    this.traffic[at + Traffic.bytesIn]! += bytes;
  }

  countOut(destination: number, bytes: number): void {
    const at = destination * trafficFields;
    this.traffic[at + Traffic.packetsOut]! += 1;
    this.traffic[at + Traffic.bytesOut]! += bytes;
  }

  countConnection(destination: number): void {
    this.traffic[destination * trafficFields + Traffic.connections]! += 1;
  }

  /** A number for a real server of a service: the one it already has, or a new one. */
  acquire(service: RunningService, realServer: RealServer, leaseSlot: number, resolver: NextHopResolver): number {
    const { address, port, forwardingMethod } = realServer;
    const method = forwardingMethods[forwardingMethod];
    const known = this.realServers.findIndex(
      (other, i) =>
        other !== undefined &&
        this.services[i] === service &&
        this.methods[i] === method &&
        other.address === address &&
        other.port === port,
    );
    const destination = known >= 0 ? known : this.#allocate();
    this.addresses.set(addressWords(address), destination << 2);
    this.ports[destination] = port;
    this.#setLimits(destination, realServer);
    this.methods[destination] = method;
    this.bytesInFront[destination] = method.bytesInFront[familyOf(address)];
    this.leaseSlots[destination] = leaseSlot;
    this.services[destination] = service;
    this.realServers[destination] = realServer;
    this.nextHops[destination] ??= resolver.resolve(nextHopTarget(method, address));
    return destination;
  }

  /** Frees the numbers that nothing refers to any more; their traffic stays with the service. */
  collect(isConfigured: (destination: number) => boolean): void {
    for (const [destination, realServer] of this.realServers.entries()) {
      if (realServer === undefined || isConfigured(destination)) continue;
      if (this.active[destination]! + this.inactive[destination]! + this.templates[destination]! > 0) continue;
      const service = this.services[destination];
      const at = destination * trafficFields;
      for (let i = 0; i < trafficFields; i += 1) {
        if (service !== undefined) service.retiredTraffic[i]! += this.traffic[at + i]!;
        this.traffic[at + i] = 0;
      }
      this.rateSince[destination] = 0;
      this.rateCount[destination] = 0;
      this.realServers[destination] = undefined;
      this.services[destination] = undefined;
      this.nextHops[destination] = undefined;
      this.#free.push(destination);
    }
  }

  #allocate(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const destination = this.realServers.length;
    if (destination === destinationsMax) {
      throw new RangeError(`more than ${destinationsMax} real servers; split the configuration between directors`);
    }
    if (destination === this.ports.length) this.#grow();
    return destination;
  }

  #grow(): void {
    const length = this.ports.length * 2;
    this.addresses = copyInto(new Int32Array(length * 4), this.addresses);
    this.ports = copyInto(new Uint16Array(length), this.ports);
    this.bytesInFront = copyInto(new Uint8Array(length), this.bytesInFront);
    this.leaseSlots = copyInto(new Int32Array(length), this.leaseSlots);
    this.active = copyInto(new Int32Array(length), this.active);
    this.inactive = copyInto(new Int32Array(length), this.inactive);
    this.templates = copyInto(new Int32Array(length), this.templates);
    this.upperThresholds = copyInto(new Uint32Array(length), this.upperThresholds);
    this.lowerThresholds = copyInto(new Uint32Array(length), this.lowerThresholds);
    this.overloaded = copyInto(new Uint8Array(length), this.overloaded);
    this.alive = copyInto(new Uint8Array(length), this.alive);
    this.rateMax = copyInto(new Uint32Array(length), this.rateMax);
    this.rateSince = copyInto(new Float64Array(length), this.rateSince);
    this.rateCount = copyInto(new Uint32Array(length), this.rateCount);
    this.traffic = copyInto(new Float64Array(length * trafficFields), this.traffic);
  }
}

function copyInto<Numbers extends Int32Array | Uint32Array | Uint16Array | Uint8Array | Float64Array>(
  target: Numbers,
  source: Numbers,
): Numbers {
  target.set(source);
  return target;
}
