// SPDX-License-Identifier: Apache-2.0
import { Election } from '../../../src/director/election/election.ts';
import type { LeaseWriter } from '../../../src/director/ports.ts';
import { readU16 } from '../../../src/lib/bytes.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { assign, type FlatRouter } from '../../support/election.ts';
import { SimulatedHost, type SimulatedPort, SimulatedSegment } from '../../support/simulated-segment.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';

/** A director of the story: its election with everything around it simulated and written down. */
export interface Director {
  readonly name: string;
  readonly host: SimulatedHost;
  readonly port: SimulatedPort;
  readonly election: Election;
  readonly router: FlatRouter;
}

export const defaultRouter: FlatRouter = {
  name: 'web',
  interface: 'eth0',
  family: 'ipv4',
  vrid: 51,
  version: 3,
  priority: 100,
  advertIntervalMs: 100,
  startAs: 'backup',
  preempt: true,
  preemptDelayMs: 0,
  addresses: [
    { address: '198.51.100.10' as IpAddress, prefixLength: 32, interface: 'eth0', install: false },
    { address: '192.0.2.254' as IpAddress, prefixLength: 24, interface: 'eth0', install: true },
  ],
  announcement: { repeat: 1, delayMs: 5000, refreshMs: 0, refreshRepeat: 1, intervalMs: 0 },
  leaseSlot: 0,
};

/**
 * Directors a, b, c... on one segment. Writes down what an observer of the network and of the lease array would see, and
 * checks at every grant that no other director which can be heard holds a valid lease.
 */
export class Lab {
  readonly time = new SimulatedTime();
  readonly segment = new SimulatedSegment(this.time);
  readonly violations: string[] = [];
  /** Overlapping leases are no violation before this time: what a partition has made takes a moment to heal. */
  tolerateUntilMs = 0;
  readonly #lines: string[] = [];
  readonly #leases = new Map<string, number>();
  /** The last message of every director and how often it was repeated since. */
  readonly #routine = new Map<string, { text: string; count: number }>();

  constructor() {
    this.segment.onSend = (from, message) => this.#writeAdvertisement(from, message);
  }

  add(name: string, changes: Partial<FlatRouter> = {}): Director {
    const address = `192.0.2.${name.charCodeAt(0) - 'a'.charCodeAt(0) + 1}` as IpAddress;
    const host = new SimulatedHost(name, this.time);
    const port = this.segment.attach(host, address);
    const election = new Election({
      clock: host,
      transport: port,
      leaseWriter: this.#leaseWriter(name),
      addressKeeper: {
        add: (each, length) => this.write(name, `adds ${each}/${length}`),
        remove: (each, length) => this.write(name, `removes ${each}/${length}`),
      },
      announcer: { announce: (each) => this.write(name, `announces ${each}`) },
      log: (_level, sentence) => this.write(name, sentence),
      onChange: () => {},
    });
    return { name, host, port, election, router: { ...defaultRouter, ...changes } };
  }

  /** Two or more directors that have settled: the first one is active, every gate is open, nothing is written down. */
  settled(...directors: readonly Director[]): void {
    for (const director of directors) this.start(director);
    for (const { election } of directors) election.setGate(true);
    this.time.advanceTo(10_000);
    this.#lines.length = 0;
    this.#routine.clear();
  }

  start(director: Director): void {
    director.election.configure([assign(director.router)]);
  }

  kill(director: Director): void {
    this.say(`${director.name} is killed`);
    director.host.kill();
  }

  /** Moves on and says so. */
  pass(durationMs: number): void {
    this.time.advanceBy(durationMs);
    this.#writeRoutine();
  }

  say(text: string): void {
    this.#writeRoutine();
    this.#lines.push(`--- ${text}`);
  }

  write(name: string, text: string): void {
    this.#writeRoutine();
    this.#lines.push(`${this.#stamp()}  ${name}  ${text}`);
  }

  leaseValid(name: string): boolean {
    return (this.#leases.get(name) ?? 0) > this.time.nowMs();
  }

  story(): string {
    this.#writeRoutine();
    return `${this.#lines.join('\n')}\n`;
  }

  #leaseWriter(name: string): LeaseWriter {
    return {
      grant: (_slot, untilMs) => {
        const valid = this.leaseValid(name);
        this.#leases.set(name, untilMs);
        if (!valid) {
          this.write(name, 'lease begins');
          this.#watchLease(name);
        }
        this.#checkOthers(name);
      },
      revoke: () => {
        if (this.leaseValid(name)) this.write(name, 'lease revoked');
        this.#leases.delete(name);
      },
    };
  }

  /** A lease ends by itself, whether its writer runs or not. */
  #watchLease(name: string): void {
    const untilMs = this.#leases.get(name);
    if (untilMs === undefined) return;
    this.time.callAt(untilMs, () => {
      const presentMs = this.#leases.get(name);
      if (presentMs === undefined) return;
      if (presentMs > this.time.nowMs()) this.#watchLease(name);
      else this.write(name, 'lease runs out');
    });
  }

  #checkOthers(name: string): void {
    for (const other of this.#leases.keys()) {
      if (other === name || !this.leaseValid(other) || !this.segment.connected(name, other)) continue;
      if (this.time.nowMs() < this.tolerateUntilMs) continue;
      this.violations.push(`${this.#stamp()} both ${name} and ${other} hold a lease`);
    }
  }

  #writeAdvertisement(from: string, message: Uint8Array): void {
    const text = `advertises priority ${message[2]} every ${(readU16(message, 4) & 0x0fff) * 10} ms`;
    const former = this.#routine.get(from);
    if (former?.text === text) {
      former.count += 1;
      return;
    }
    this.write(from, text);
    this.#routine.set(from, { text, count: 0 });
  }

  #writeRoutine(): void {
    for (const [name, routine] of this.#routine) {
      if (routine.count === 0) continue;
      this.#lines.push(
        `${this.#stamp()}  ${name}  (the same ${routine.count === 1 ? 'once' : `${routine.count} times`})`,
      );
      routine.count = 0;
    }
  }

  #stamp(): string {
    return this.time.nowMs().toFixed(1).padStart(8);
  }
}
