// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Election } from '../../src/director/election/election.ts';
import type { ElectionHandoverRecord } from '../../src/director/election/election-view.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { emitHandoverRecord, parseHandoverRecord } from '../../src/succession/handover-record.ts';
import { assign, type FlatRouter } from '../support/election.ts';
import { SimulatedHost, SimulatedSegment } from '../support/simulated-segment.ts';
import { SimulatedTime } from '../support/simulated-time.ts';
import { defaultRouter } from '../transcript/vrrp/lab.ts';

// Two directors on one segment. Their processes are replaced by further ones, again and again and at any moment.

/** Timers of an idle process fire so late. */
const latenessMs = 0.4;

interface Action {
  readonly afterMs: number;
  readonly director: 'a' | 'b';
  /** `succeed`: a further process goes on from the state of this moment, `readMs` later than it was written. */
  readonly kind: 'succeed' | 'hand over' | 'reload';
  readonly readMs: number;
  readonly priority: number;
}

const actions: fc.Arbitrary<readonly Action[]> = fc.array(
  fc.record({
    afterMs: fc.double({ min: 0, max: 400, noNaN: true }),
    director: fc.constantFrom('a', 'b'),
    kind: fc.constantFrom('succeed', 'succeed', 'succeed', 'hand over', 'reload'),
    readMs: fc.double({ min: 0, max: 8, noNaN: true }),
    priority: fc.integer({ min: 1, max: 254 }),
  }),
  { minLength: 1, maxLength: 12 },
);

/** A director whose lease array outlives its processes. */
class Director {
  readonly name: string;
  readonly address: IpAddress;
  leaseUntilMs = 0;
  router: FlatRouter;
  election: Election;
  readonly #world: World;
  #host: SimulatedHost;

  constructor(world: World, name: string, priority: number) {
    this.#world = world;
    this.name = name;
    this.address = `192.0.2.${name.charCodeAt(0) - 96}` as IpAddress;
    this.router = { ...defaultRouter, priority };
    [this.#host, this.election] = this.#start();
    this.election.setGate(true);
    this.election.configure([assign(this.router)]);
  }

  succeed(readMs: number): void {
    const [formerHost, former] = [this.#host, this.election];
    const text = emitHandoverRecord(former.handoverRecord());
    former.fallSilent();
    [this.#host, this.election] = this.#start();
    const { election } = this;
    this.#world.time.callAt(this.#world.time.nowMs() + readMs, () => {
      formerHost.kill();
      if (election !== this.election) return;
      const parsed = parseHandoverRecord(text);
      assert.ok(parsed.ok);
      election.continueFrom(parsed.value);
      election.configure([assign(this.router)]);
      election.setGate(true);
    });
  }

  /** Whatever that state is. */
  continueFrom(record: ElectionHandoverRecord): void {
    this.election.fallSilent();
    [this.#host, this.election] = this.#start();
    this.election.continueFrom(record);
    this.election.configure([assign(this.router)]);
  }

  #start(): [SimulatedHost, Election] {
    const { time, segment } = this.#world;
    const host = new SimulatedHost(this.name, time, { latenessMs: () => latenessMs });
    const election = new Election({
      clock: host,
      transport: segment.attach(host, this.address),
      addressKeeper: { add: () => {}, remove: () => {} },
      announcer: { announce: () => {} },
      leaseWriter: {
        grant: (_slot, untilMs) => {
          this.leaseUntilMs = untilMs;
          this.#world.checkLeases();
        },
        revoke: () => {
          this.leaseUntilMs = 0;
        },
      },
      log: () => {},
      onChange: () => {},
    });
    return [host, election];
  }
}

class World {
  readonly time = new SimulatedTime(1000);
  readonly segment = new SimulatedSegment(this.time);
  readonly directors: readonly Director[];

  constructor(priorityA: number, priorityB: number) {
    this.directors = [new Director(this, 'a', priorityA), new Director(this, 'b', priorityB)];
    this.time.advanceBy(1000);
  }

  get holders(): string[] {
    const nowMs = this.time.nowMs();
    return this.directors.filter(({ leaseUntilMs }) => leaseUntilMs > nowMs).map(({ name }) => name);
  }

  checkLeases(): void {
    // Empty while the constructor runs.
    if ((this.directors?.length ?? 0) > 1) assert.ok(this.holders.length < 2, `two leases at ${this.time.nowMs()} ms`);
  }
}

test('further processes of two directors never hold two leases, and somebody is active soon', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 254 }), fc.integer({ min: 1, max: 254 }), actions, (a, b, story) => {
      const world = new World(a, b);
      for (const { afterMs, director: name, kind, readMs, priority } of story) {
        world.time.advanceBy(afterMs);
        const director = world.directors.find((each) => each.name === name)!;
        if (kind === 'succeed') director.succeed(readMs);
        else if (kind === 'hand over') director.election.handOver();
        else {
          director.router = { ...director.router, priority };
          director.election.configure([assign(director.router)]);
        }
      }
      world.time.advanceBy(2000);
      assert.equal(world.holders.length, 1);
    }),
    { numRuns: 300 },
  );
});

test('a lease is held without a gap however often the process behind it is replaced', () => {
  const gaps = fc.array(
    fc.record({
      afterMs: fc.double({ min: 8.5, max: 250, noNaN: true }),
      readMs: fc.double({ min: 0, max: 8, noNaN: true }),
    }),
    { minLength: 1, maxLength: 20 },
  );
  fc.assert(
    fc.property(gaps, (story) => {
      const world = new World(200, 100);
      const sentAtMs: number[] = [];
      const farewells: number[] = [];
      world.segment.onSend = (_from, message) => {
        sentAtMs.push(world.time.nowMs());
        if (message[2] === 0) farewells.push(world.time.nowMs());
      };
      assert.deepEqual(world.holders, ['a']);
      for (const { afterMs, readMs } of story) {
        world.time.advanceBy(afterMs);
        assert.deepEqual(world.holders, ['a']);
        world.directors[0]!.succeed(readMs);
      }
      world.time.advanceBy(500);
      assert.deepEqual([world.holders, farewells], [['a'], []]);
      for (const [index, atMs] of sentAtMs.entries()) {
        const before = sentAtMs[index - 1] ?? atMs;
        // One interval, a late timer, and what passed between writing the state and reading it.
        assert.ok(atMs - before <= 100 + latenessMs + 8, `silent for ${atMs - before} ms`);
      }
    }),
    { numRuns: 200 },
  );
});

test('no text makes the reader of a handover record throw, and an election goes on from what it takes', () => {
  const text = emitHandoverRecord(new World(200, 100).directors[0]!.election.handoverRecord());
  const whole: unknown = JSON.parse(text);
  const places = pathsIn(whole);
  const damaged = fc.tuple(fc.constantFrom(...places), fc.jsonValue()).map(([path, value]) => {
    const copy = JSON.parse(text) as Record<string, unknown>;
    let at = copy;
    for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
    at[path.at(-1)!] = value;
    return JSON.stringify(copy);
  });
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), damaged), (text) => {
      const parsed = parseHandoverRecord(text);
      if (!parsed.ok) return;
      const world = new World(200, 100);
      const { leaseUntilMs } = world.directors[0]!;
      world.directors[0]!.continueFrom(parsed.value);
      // An interval may have been damaged too: the lease stays within three of the longest that there can be.
      assert.ok(world.directors[0]!.leaseUntilMs <= Math.max(leaseUntilMs, world.time.nowMs() + 3 * 255_000));
    }),
    { numRuns: 500 },
  );
});

/** Every place in a value, as keys from the outside in. */
function pathsIn(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [[...path]];
  return Object.entries(value).flatMap(([key, inner]) => [[...path, key], ...pathsIn(inner, [...path, key])]);
}
