// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Election } from '../../../src/director/election/election.ts';
import type { VrrpTransport } from '../../../src/director/ports.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { vrrpGroups } from '../../../src/model/virtual-router.ts';
import { advertisementLength, emitAdvertisement } from '../../../vrrp/packet.ts';
import { assign, type FlatAddress, factsOf } from '../../support/election.ts';
import { defaultRouter } from '../../transcript/vrrp/lab.ts';
import { activeBench, lesser, virtual } from './routers.ts';

const intervalMs = 100;
const own = '192.0.2.5' as IpAddress;

function addressesOf(count: number): FlatAddress[] {
  return Array.from({ length: count }, (_, i) => ({
    address: `198.51.${i >> 8}.${i & 0xff}` as IpAddress,
    prefixLength: 32,
    interface: 'eth0',
    install: false,
  }));
}

interface Task {
  readonly atMs: number;
  readonly run: () => void;
}

/** One processor: a task that takes time delays those that come due meanwhile. */
class BusyClock {
  #nowMs = 0;
  /** The longest that a task has kept all others waiting. */
  longestTaskMs = 0;
  readonly #tasks: Task[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  work(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  callAt(atMs: number, run: () => void): () => void {
    const task = { atMs, run };
    this.#tasks.push(task);
    return () => {
      const index = this.#tasks.indexOf(task);
      if (index >= 0) this.#tasks.splice(index, 1);
    };
  }

  advanceTo(untilMs: number): void {
    for (let next = this.#earliest(); next !== undefined && next.atMs <= untilMs; next = this.#earliest()) {
      this.#tasks.splice(this.#tasks.indexOf(next), 1);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      const begunMs = this.#nowMs;
      next.run();
      this.longestTaskMs = Math.max(this.longestTaskMs, this.#nowMs - begunMs);
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #earliest(): Task | undefined {
    return this.#tasks.reduce<Task | undefined>(
      (first, each) => (first === undefined || each.atMs < first.atMs ? each : first),
      undefined,
    );
  }
}

/** An election in a process whose announcements take time, during which no timer fires and nothing is received. */
class Busy {
  readonly clock = new BusyClock();
  readonly addresses: readonly FlatAddress[];
  readonly advertisedAtMs: number[] = [];
  announced = 0;
  readonly logged: string[] = [];
  readonly election: Election;
  #hear: Parameters<VrrpTransport['onReceive']>[0] = () => {};

  constructor(addressCount: number, announcementMs: number) {
    const { clock } = this;
    this.addresses = addressesOf(addressCount);
    this.election = new Election({
      clock,
      transport: {
        open: () => own,
        send: (_interface, _family, _message, onSent) => {
          clock.callAt(clock.nowMs(), () => {
            this.advertisedAtMs.push(clock.nowMs());
            onSent();
          });
        },
        onReceive: (listener) => {
          this.#hear = listener;
        },
        close: () => {},
      },
      addressKeeper: { add: () => {}, remove: () => {} },
      announcer: {
        announce: () => {
          this.announced += 1;
          clock.work(announcementMs);
        },
      },
      leaseWriter: { grant: () => {}, revoke: () => {} },
      log: (_level, sentence) => this.logged.push(sentence),
      onChange: () => {},
    });
    const announcement = { ...defaultRouter.announcement, repeat: 5 };
    const router = { ...defaultRouter, announcement, addresses: this.addresses, advertIntervalMs: intervalMs };
    this.election.configure([assign(router)]);
  }

  advanceBy(durationMs: number): void {
    this.clock.advanceTo(this.clock.nowMs() + durationMs);
  }

  hear(priority: number, source: IpAddress): void {
    const addresses = this.addresses.map(({ address }) => address);
    const advertisement = { version: 3, vrid: 51, priority, intervalMs, authenticationType: 0, addresses } as const;
    const endpoints = { source, destination: vrrpGroups.ipv4 };
    const message = new Uint8Array(advertisementLength(advertisement));
    emitAdvertisement(advertisement, endpoints, message, 0);
    this.#hear({ ...endpoints, interface: 'eth0', ttl: 255, message });
  }

  get longestGapMs(): number {
    return Math.max(...this.advertisedAtMs.slice(1).map((atMs, i) => atMs - this.advertisedAtMs[i]!));
  }
}

describe('announcements of many addresses', () => {
  test('leave the advertisements on time, and all go out', () => {
    const busy = new Busy(255, 0.5);
    busy.clock.advanceTo(4000);
    const [facts] = factsOf(busy.election);
    assert.deepEqual([facts?.state, facts?.transitions], ['active', 2]);
    assert.ok(busy.longestGapMs < intervalMs + 6, `an advertisement came ${busy.longestGapMs} ms after the last`);
    assert.equal(busy.announced, 5 * 255);
    // A slice, and the announcement during which it ends.
    assert.ok(busy.clock.longestTaskMs <= 5.5, `nothing was received for ${busy.clock.longestTaskMs} ms`);
  });

  test('that are still waiting when the role is lost are not sent', () => {
    const busy = new Busy(255, 0.5);
    while (busy.announced === 0) busy.advanceBy(1);
    const begun = busy.announced;
    busy.hear(255, lesser);
    busy.advanceBy(200);
    assert.equal(busy.announced, begun);
    assert.ok(begun < 255);
  });
});

describe('a flood', () => {
  test('of advertisements with a lower priority costs an answer for each interval, and a set of announcements', () => {
    const busy = new Busy(100, 0.02);
    busy.clock.advanceTo(4000);
    const [sent, announced, lines] = [busy.advertisedAtMs.length, busy.announced, busy.logged.length];
    for (let i = 0; i < 5000; i += 1) {
      busy.hear(1, lesser);
      busy.advanceBy(0.2);
    }
    // Ten of its own, and as many answers.
    assert.ok(busy.advertisedAtMs.length - sent <= 21, `${busy.advertisedAtMs.length - sent} advertisements`);
    assert.ok(busy.announced - announced <= 2 * 5 * 100, `${busy.announced} announcements`);
    assert.ok(busy.longestGapMs < intervalMs + 6);
    busy.advanceBy(1500);
    const said = busy.logged.slice(lines);
    const leftOut = said.map((line) => Number(/\((\d+) more such lines were left out\)$/.exec(line)?.[1] ?? 0));
    assert.ok(said.length <= 3, said.join('\n'));
    assert.equal(
      leftOut.reduce((sum, count) => sum + count, said.length),
      5000,
    );
    assert.equal(factsOf(busy.election)[0]?.transitions, 2);
  });

  test('of resignations costs no more', () => {
    const busy = new Busy(100, 0.02);
    busy.clock.advanceTo(4000);
    const [sent, announced] = [busy.advertisedAtMs.length, busy.announced];
    for (let i = 0; i < 5000; i += 1) {
      busy.hear(0, lesser);
      busy.advanceBy(0.2);
    }
    assert.ok(busy.advertisedAtMs.length - sent <= 21, `${busy.advertisedAtMs.length - sent} advertisements`);
    assert.ok(busy.announced - announced <= 2 * 5 * 100, `${busy.announced} announcements`);
    assert.ok(busy.longestGapMs < intervalMs + 6);
  });

  test('from invented addresses gets sixteen answers for each interval', () => {
    const bench = activeBench();
    const answers = (): number =>
      Array.from({ length: 200 }, (_, i) => bench.hear(1, { from: `192.0.2.${i}` as IpAddress }))
        .flat()
        .filter((action) => action.startsWith('send')).length;
    assert.equal(answers(), 16);
    assert.equal(answers(), 0);
    bench.at(bench.nowMs + 1000).timer();
    bench.sent();
    assert.equal(answers(), 16);
  });
});

describe('what comes too soon for a set of announcements of its own', () => {
  test('gets one a second after the last, and no more than that', () => {
    const bench = activeBench({ intervalMs: 100, announcement: { ...defaultRouter.announcement, delayMs: 0 } });
    const announced: number[] = [];
    const beganMs = bench.nowMs;
    for (let atMs = 0; atMs <= 3500; atMs += 50) {
      bench.at(beganMs + atMs);
      const actions = [...bench.timer(), ...bench.sent(), ...bench.hear(99)];
      if (actions.includes(`announce ${virtual}`)) announced.push(atMs);
    }
    assert.deepEqual(announced, [0, 1000, 2000, 3000]);
  });

  test('a resignation is announced at once although a rival was announced just before', () => {
    const bench = activeBench();
    bench.hear(99);
    assert.deepEqual(bench.hear(0), ['send 100/1000', `announce ${virtual} ${virtual}`]);
    assert.deepEqual(bench.hear(0), []);
  });
});
