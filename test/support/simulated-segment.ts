// SPDX-License-Identifier: Apache-2.0
import type { ReceivedAdvertisement, VrrpTransport } from '../../src/director/ports.ts';
import type { Clock } from '../../src/lib/clock.ts';
import type { Family, IpAddress } from '../../src/lib/ip-address.ts';
import { vrrpGroups } from '../../src/model/virtual-router.ts';
import type { SimulatedTime } from './simulated-time.ts';

/** One message on its way from a host to another. */
export interface Flight {
  readonly from: string;
  readonly to: string;
  readonly message: Uint8Array;
}

export interface SimulatedHostOptions {
  /** As large as the socket buffer: what arrives beyond it while the process is frozen is lost. */
  readonly arrivalsMax?: number;
  /** The delay of the next timer. */
  readonly latenessMs?: () => number;
}

/**
 * A host whose process can be killed, and frozen and thawed. Frozen, its timers and the messages for it pile up; when
 * it goes on, the timers that have come due run first and then the messages are read, as in Node's event loop.
 */
export class SimulatedHost implements Clock {
  readonly name: string;
  readonly #time: SimulatedTime;
  #condition: 'running' | 'frozen' | 'dead' = 'running';
  readonly #timers: (() => void)[] = [];
  readonly #arrivals: (() => void)[] = [];
  readonly #arrivalsMax: number;
  readonly #latenessMs: () => number;
  /** Timers that have neither fired nor been cancelled. */
  timersArmed = 0;

  constructor(name: string, time: SimulatedTime, options: SimulatedHostOptions = {}) {
    this.name = name;
    this.#time = time;
    this.#arrivalsMax = options.arrivalsMax ?? Number.POSITIVE_INFINITY;
    this.#latenessMs = options.latenessMs ?? (() => 0);
  }

  nowMs(): number {
    return this.#time.nowMs();
  }

  callAt(atMs: number, task: () => void): () => void {
    let wanted = true;
    const settle = (): boolean => {
      const before = wanted;
      wanted = false;
      if (before) this.timersArmed -= 1;
      return before;
    };
    const run = (): void => {
      if (settle()) task();
    };
    this.timersArmed += 1;
    const dueMs = Math.max(atMs, this.#time.nowMs()) + this.#latenessMs();
    const cancel = this.#time.callAt(dueMs, () => this.#run(run, this.#timers));
    return () => {
      if (settle()) cancel();
    };
  }

  /** Something from outside that the process reads in its event loop. False when there is no room to wait for it. */
  deliver(task: () => void): boolean {
    if (this.frozen && this.#arrivals.length >= this.#arrivalsMax) return false;
    this.#run(task, this.#arrivals);
    return true;
  }

  get waiting(): number {
    return this.#arrivals.length;
  }

  get alive(): boolean {
    return this.#condition !== 'dead';
  }

  get frozen(): boolean {
    return this.#condition === 'frozen';
  }

  kill(): void {
    this.#condition = 'dead';
    this.#timers.length = 0;
    this.#arrivals.length = 0;
  }

  freeze(): void {
    if (this.#condition === 'running') this.#condition = 'frozen';
  }

  thaw(): void {
    if (this.#condition !== 'frozen') return;
    this.#condition = 'running';
    for (const task of [...this.#timers.splice(0), ...this.#arrivals.splice(0)]) task();
  }

  #run(task: () => void, waiting: (() => void)[]): void {
    if (this.#condition === 'running') task();
    else if (this.#condition === 'frozen') waiting.push(task);
  }
}

/** One LAN: what a host multicasts reaches every other one after the latency, unless a fault swallows it. */
export class SimulatedSegment {
  readonly #time: SimulatedTime;
  readonly #latencyMs: number;
  readonly #ports: SimulatedPort[] = [];
  #sides = new Map<string, number>();
  /** Gives true for what gets lost. */
  loses: (flight: Flight) => boolean = () => false;
  /** Sees every message that a host puts on the wire. */
  onSend: (from: string, message: Uint8Array) => void = () => {};

  constructor(time: SimulatedTime, latencyMs = 0.2) {
    this.#time = time;
    this.#latencyMs = latencyMs;
  }

  attach(host: SimulatedHost, address: IpAddress): SimulatedPort {
    const port = new SimulatedPort(this, host, address);
    this.#ports.push(port);
    return port;
  }

  /** Hosts of different groups no longer hear each other. A host in no group hears nobody. */
  partition(...groups: readonly (readonly string[])[]): void {
    this.#sides = new Map(groups.flatMap((group, side) => group.map((name) => [name, side] as const)));
  }

  heal(): void {
    this.#sides.clear();
  }

  connected(one: string, other: string): boolean {
    if (this.#sides.size === 0) return true;
    const side = this.#sides.get(one);
    return side !== undefined && side === this.#sides.get(other);
  }

  send(sender: SimulatedPort, interfaceName: string, family: Family, message: Uint8Array): void {
    this.onSend(sender.host.name, message);
    for (const port of this.#ports) {
      const flight: Flight = { from: sender.host.name, to: port.host.name, message: message.slice() };
      if (port === sender || !this.connected(flight.from, flight.to) || this.loses(flight)) continue;
      const received: ReceivedAdvertisement = {
        interface: interfaceName,
        source: sender.address,
        destination: vrrpGroups[family],
        ttl: 255,
        message: flight.message,
      };
      this.#time.callAt(this.#time.nowMs() + this.#latencyMs, () => port.host.deliver(() => port.hear(received)));
    }
  }
}

/** A host's place on the segment. */
export class SimulatedPort implements VrrpTransport {
  readonly #segment: SimulatedSegment;
  readonly host: SimulatedHost;
  readonly address: IpAddress;
  #listener: (received: ReceivedAdvertisement) => void = () => {};
  /** The error that every send throws instead of sending. */
  sendError: Error | undefined;
  /** The error that `open` throws. */
  openError: Error | undefined;

  constructor(segment: SimulatedSegment, host: SimulatedHost, address: IpAddress) {
    this.#segment = segment;
    this.host = host;
    this.address = address;
  }

  open(): IpAddress {
    if (this.openError !== undefined) throw this.openError;
    return this.address;
  }

  send(interfaceName: string, family: Family, message: Uint8Array, onSent: (error?: Error) => void): void {
    const error = this.sendError;
    if (error === undefined) this.#segment.send(this, interfaceName, family, message);
    this.host.callAt(this.host.nowMs(), () => onSent(error));
  }

  onReceive(listener: (received: ReceivedAdvertisement) => void): void {
    this.#listener = listener;
  }

  hear(received: ReceivedAdvertisement): void {
    this.#listener(received);
  }

  close(): void {
    this.#listener = () => {};
  }
}
