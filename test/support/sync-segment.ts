// SPDX-License-Identifier: Apache-2.0
import type { SyncTransport } from '../../src/director/ports.ts';
import type { Clock } from '../../src/lib/clock.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import type { Prng } from '../../src/lib/prng.ts';

export interface SegmentFaults {
  /** Probabilities, 0..1, for each datagram and receiver. */
  readonly loss: number;
  readonly duplication: number;
  /** Delay is even between the two, so that datagrams overtake each other. */
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
}

export const faultless: SegmentFaults = { loss: 0, duplication: 0, delayMinMs: 0.1, delayMaxMs: 0.1 };

interface Port {
  readonly address: IpAddress;
  receive: (datagram: Uint8Array, source: IpAddress) => void;
  connected: boolean;
}

/** A multicast segment on simulated time: every datagram reaches every other port, as far as the faults let it. */
export class SyncSegment {
  readonly #clock: Clock;
  readonly #prng: Prng;
  readonly #ports = new Set<Port>();
  readonly #cuts = new Set<string>();
  faults: SegmentFaults = faultless;
  /** Sees each datagram as it is sent; what it answers `false` to is lost for everybody. */
  observe: (datagram: Uint8Array, source: IpAddress) => boolean = () => true;

  constructor(clock: Clock, prng: Prng) {
    this.#clock = clock;
    this.#prng = prng;
  }

  attach(address: IpAddress): SyncTransport {
    const port: Port = { address, receive: () => {}, connected: true };
    this.#ports.add(port);
    return {
      send: (datagram) => {
        this.#send(port, datagram);
        return true;
      },
      onReceive: (listener) => {
        port.receive = listener;
      },
      close: () => {
        port.connected = false;
        this.#ports.delete(port);
      },
    };
  }

  /** No datagram passes between the two, in either direction. */
  cut(a: IpAddress, b: IpAddress): void {
    this.#cuts.add(linkName(a, b));
  }

  mend(a: IpAddress, b: IpAddress): void {
    this.#cuts.delete(linkName(a, b));
  }

  /** Takes whatever hangs at the address off the segment. */
  detach(address: IpAddress): void {
    for (const port of [...this.#ports]) {
      if (port.address !== address) continue;
      port.connected = false;
      this.#ports.delete(port);
    }
  }

  #send(from: Port, datagram: Uint8Array): void {
    if (!from.connected || !this.observe(datagram, from.address)) return;
    for (const to of this.#ports) {
      if (to === from || this.#cuts.has(linkName(from.address, to.address))) continue;
      if (this.#prng.fraction() < this.faults.loss) continue;
      const copies = this.#prng.fraction() < this.faults.duplication ? 2 : 1;
      for (let copy = 0; copy < copies; copy += 1) this.#deliverLater(from, to, datagram.slice());
    }
  }

  #deliverLater(from: Port, to: Port, datagram: Uint8Array): void {
    const { delayMinMs, delayMaxMs } = this.faults;
    const delayMs = delayMinMs + this.#prng.fraction() * (delayMaxMs - delayMinMs);
    this.#clock.callAt(this.#clock.nowMs() + delayMs, () => {
      if (to.connected) to.receive(datagram, from.address);
    });
  }
}

function linkName(a: IpAddress, b: IpAddress): string {
  return [a, b].sort().join(' ');
}
