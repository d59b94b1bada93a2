// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type IpAddress, ipAddressFromBytes } from '../../src/lib/ip-address.ts';
import { addressesOf } from '../../src/model/virtual-router.ts';
import type { FaultReason } from '../../vrrp/faults.ts';
import { climbLadder, rejectionReasons } from '../../vrrp/ladder.ts';
import { createRouter, nextDeadline, step } from '../../vrrp/machine.ts';
import {
  type Advertisement,
  advertisementLength,
  emitAdvertisement,
  packetRejections,
  parseAdvertisement,
} from '../../vrrp/packet.ts';
import type { LocalRouter, RouterAction, RouterEvent, RouterState } from '../../vrrp/state.ts';
import { routerOf, type Setting } from '../unit/vrrp/routers.ts';

const ipv4 = { source: '192.0.2.2' as IpAddress, destination: '224.0.0.18' as IpAddress };
const ipv6 = { source: 'fe80::2' as IpAddress, destination: 'ff02::12' as IpAddress };

const anAddress = (length: 4 | 16): fc.Arbitrary<IpAddress> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => ipAddressFromBytes(bytes));

const common = { vrid: fc.integer({ min: 1, max: 255 }), priority: fc.integer({ min: 0, max: 255 }) };
const version3 = (length: 4 | 16): fc.Arbitrary<Advertisement> =>
  fc.record(
    {
      ...common,
      version: fc.constant(3 as const),
      intervalMs: fc.integer({ min: 1, max: 4095 }).map((units) => units * 10),
      authenticationType: fc.constant(0),
      addresses: fc.array(anAddress(length), { minLength: 1, maxLength: 255 }),
    },
    { noNullPrototype: true },
  );
const version2: fc.Arbitrary<Advertisement> = fc.record(
  {
    ...common,
    version: fc.constant(2 as const),
    intervalMs: fc.integer({ min: 1, max: 255 }).map((units) => units * 1000),
    authenticationType: fc.integer({ min: 0, max: 255 }),
    addresses: fc.array(anAddress(4), { maxLength: 255 }),
  },
  { noNullPrototype: true },
);

test('what is emitted parses to the same', () => {
  const cases = fc.oneof(
    fc.tuple(version3(4), fc.constant(ipv4)),
    fc.tuple(version3(16), fc.constant(ipv6)),
    fc.tuple(version2, fc.constant(ipv4)),
  );
  const form = fc.constantFrom('pseudo-header' as const, 'message-only' as const);
  fc.assert(
    fc.property(cases, form, ([advertisement, endpoints], checksumForm) => {
      const bytes = new Uint8Array(advertisementLength(advertisement)).fill(0xa5);
      assert.equal(emitAdvertisement(advertisement, endpoints, bytes, 0, checksumForm), bytes.length);
      assert.deepEqual(parseAdvertisement(bytes, endpoints), { ok: true, value: advertisement });
    }),
  );
});

test('random bytes never throw, and end at a known rung', () => {
  const listener: LocalRouter = {
    router: routerOf({ intervalMs: 100, addresses: [] }),
    primaryAddress: '192.0.2.1' as IpAddress,
  };
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(ipv4, ipv6),
      fc.constantFrom(254, 255),
      fc.boolean(),
      (message, endpoints, ttl, plausible) => {
        if (plausible && message.length > 0) message[0] = 0x31;
        const parsed = parseAdvertisement(message, endpoints);
        if (!parsed.ok) assert.ok(packetRejections.includes(parsed.reason));
        const climbed = climbLadder({ ...endpoints, ttl, message }, () => listener);
        if (!climbed.ok) assert.ok(rejectionReasons.includes(climbed.reason));
      },
    ),
    { numRuns: 2000 },
  );
});

test('one flipped bit is never taken for the same advertisement', () => {
  fc.assert(
    fc.property(version3(4), fc.nat(), (advertisement, position) => {
      const bytes = new Uint8Array(advertisementLength(advertisement));
      emitAdvertisement(advertisement, ipv4, bytes);
      const bit = position % (bytes.length * 8);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(parseAdvertisement(bytes, ipv4).ok, false);
    }),
  );
});

// The machine: whatever happens in whatever order, watched by a lease array and an interface.

type Happening =
  | { readonly kind: 'event'; readonly event: RouterEvent; readonly afterMs: number }
  /** Waits until the deadline plus a lateness, then the timer. */
  | { readonly kind: 'timer'; readonly lateMs: number }
  /** The oldest unconfirmed advertisement is confirmed, or turns out to have failed. */
  | { readonly kind: 'confirm'; readonly failed: boolean };

const address = fc.constantFrom('192.0.2.1', '192.0.2.128').map((text) => text as IpAddress);
const virtual = fc.subarray(['198.51.100.1', '198.51.100.2'] as IpAddress[], { minLength: 1 });
const setting: fc.Arbitrary<Setting> = fc.record({
  version: fc.constantFrom(2 as const, 3 as const),
  priority: fc.constantFrom(1, 100, 254, 255),
  intervalMs: fc.constantFrom(10, 100, 1000),
  primaryAddress: fc.constant('192.0.2.5' as IpAddress),
  addresses: virtual,
  startAs: fc.constantFrom('active' as const, 'backup' as const),
  preempt: fc.boolean(),
  preemptDelayMs: fc.constantFrom(0, 500),
  announcement: fc.record({
    repeat: fc.constantFrom(0, 1, 5),
    delayMs: fc.constantFrom(0, 300),
    refreshMs: fc.constantFrom(0, 1000),
    refreshRepeat: fc.constantFrom(1, 2),
    intervalMs: fc.constantFrom(0, 7),
  }),
});

const fault: fc.Arbitrary<FaultReason> = fc.constantFrom(
  { kind: 'link' },
  { kind: 'address' },
  { kind: 'script', name: 'chk' },
);

const event: fc.Arbitrary<RouterEvent> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('advertisementReceived' as const),
      source: address,
      priority: fc.constantFrom(0, 1, 50, 100, 200, 255),
      intervalMs: fc.constantFrom(10, 100, 1000),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'startup' as const }) },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom(
        'shutdown' as const,
        'gateOpened' as const,
        'gateClosed' as const,
        'handoverRequested' as const,
        'holdReleased' as const,
        'timer' as const,
      )
      .map((kind) => ({ kind })),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('faultRaised' as const, 'faultCleared' as const), reason: fault }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('priorityChanged' as const),
      effectivePriority: fc.constantFrom(-100, 1, 50, 150, 300),
    }),
  },
  {
    weight: 1,
    arbitrary: setting.map((each) => ({
      kind: 'configurationChanged' as const,
      router: routerOf(each),
      primaryAddress: each.primaryAddress,
      effectivePriority: each.priority,
    })),
  },
);

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('event' as const),
      event,
      afterMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 60, noNaN: true })),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('timer' as const),
      lateMs: fc.oneof({ weight: 30, arbitrary: fc.constantFrom(0, 0.3) }, { weight: 1, arbitrary: fc.constant(5000) }),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({ kind: fc.constant('confirm' as const), failed: fc.constantFrom(false, false, false, true) }),
  },
);

/** The world around one machine, which holds it to its promises. */
class Watch {
  state: RouterState;
  nowMs = 0;
  leaseUntilMs = Number.NEGATIVE_INFINITY;
  acquired = new Set<IpAddress>();
  everAcquired = 0;
  readonly unconfirmed: { sentAtMs: number; priority: number; intervalMs: number }[] = [];

  constructor(given: Setting) {
    this.state = createRouter(routerOf(given), given.primaryAddress, 0);
  }

  live(each: Happening): void {
    if (each.kind === 'event') {
      this.nowMs += each.afterMs;
      this.feed(each.event);
    } else if (each.kind === 'timer') {
      const dueMs = nextDeadline(this.state);
      if (dueMs === undefined) return;
      this.nowMs = Math.max(this.nowMs, dueMs + each.lateMs);
      this.feed({ kind: 'timer' });
    } else {
      const sent = this.unconfirmed.shift();
      if (sent !== undefined && !each.failed) this.feed({ kind: 'advertisementSent', ...sent });
    }
  }

  feed(given: RouterEvent): void {
    const before = this.state;
    const lapsed = before.kind === 'active' && this.nowMs >= before.leaseUntilMs;
    const { state, actions } = step(before, given, this.nowMs);
    assert.deepEqual(step(before, given, this.nowMs), { state, actions }, 'the same again');
    if (lapsed) assert.ok(!actions.some((action) => action.kind === 'sendAdvertisement'), 'a lapsed router is silent');
    for (const action of actions) this.execute(action);
    this.state = state;
    this.check(given);
  }

  execute(action: RouterAction): void {
    switch (action.kind) {
      case 'sendAdvertisement':
        this.unconfirmed.push({ sentAtMs: this.nowMs, priority: action.priority, intervalMs: action.intervalMs });
        if (action.priority === 0) assert.ok(this.leaseUntilMs < 0, 'resigned with a lease');
        break;
      case 'grantLease':
        assert.ok(action.untilMs > this.nowMs, 'a lease of the past');
        this.leaseUntilMs = action.untilMs;
        break;
      case 'revokeLease':
        this.leaseUntilMs = Number.NEGATIVE_INFINITY;
        break;
      case 'acquireAddresses':
        assert.ok(this.leaseUntilMs > this.nowMs, 'acquired without a lease');
        for (const each of action.addresses) this.acquired.add(each);
        this.everAcquired += 1;
        break;
      case 'releaseAddresses':
        for (const each of action.addresses) assert.ok(this.acquired.delete(each), 'released what it never had');
        break;
      case 'announce':
        for (const each of action.addresses) assert.ok(this.acquired.has(each), 'announced what it does not have');
        break;
      case 'notify':
      case 'note':
        break;
    }
  }

  check(given: RouterEvent): void {
    const { state } = this;
    const dueMs = nextDeadline(state);
    if (given.kind === 'timer' && dueMs !== undefined) assert.ok(dueMs > this.nowMs, 'a deadline of the past');
    if (state.kind === 'backup' || state.kind === 'active') assert.ok(Number.isFinite(dueMs), 'nothing to wait for');
    if (state.kind !== 'initialize') assert.equal(state.kind === 'fault', state.faults.length > 0);
    assert.equal(state.effectivePriority === 255, state.router.priority === 255, 'only the owner has its priority');
    const holding = state.kind === 'active' && state.holding;
    assert.deepEqual([...this.acquired].sort(), holding ? addressesOf(state.router).sort() : []);
    if (holding) assert.equal(this.leaseUntilMs, state.leaseUntilMs);
    else assert.equal(this.leaseUntilMs, Number.NEGATIVE_INFINITY, 'a lease outside active');
  }
}

test('the promises hold through any sequence of events', () => {
  let everAcquired = 0;
  fc.assert(
    fc.property(setting, fc.array(happening, { maxLength: 80 }), (given, happenings) => {
      const watch = new Watch(given);
      watch.feed({ kind: 'startup' });
      for (const each of happenings) watch.live(each);
      everAcquired += watch.everAcquired;
    }),
    { numRuns: 3000 },
  );
  assert.ok(everAcquired > 100, `the sequences must reach the interesting states, acquired ${everAcquired} times`);
});
