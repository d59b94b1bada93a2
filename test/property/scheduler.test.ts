// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { emptySlot, type Selector } from '../../src/model/selector.ts';
import type { SchedulerName, VirtualService } from '../../src/model/virtual-service.ts';
import { compileService } from '../../src/scheduler/compile.ts';
import { supportedSchedulers } from '../../src/scheduler/schedulers.ts';

interface Situation {
  readonly servers: readonly { readonly weight: number; readonly alive: boolean }[];
  readonly fallback: boolean;
}

const server = fc.record({
  weight: fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 65535 })),
  alive: fc.boolean(),
});
const situation: fc.Arbitrary<Situation> = fc.record({
  servers: fc.array(server, { maxLength: 40 }),
  fallback: fc.boolean(),
});

function compile(name: SchedulerName, { servers, fallback }: Situation): Selector {
  const service: VirtualService = {
    address: '192.0.2.1' as IpAddress,
    port: 443,
    protocol: 'tcp',
    scheduler: { name, hashPort: false, fallback },
    realServers: servers.map(({ weight }, i) => ({
      address: `10.0.${i >> 8}.${i & 255}` as IpAddress,
      port: 443,
      weight,
      forwardingMethod: 'direct-route',
    })),
  };
  return compileService(service, (i) => servers[i]!.alive).selector;
}

function slotsOf(selector: Selector): Uint16Array {
  return selector.shape === 'least' ? Uint16Array.from(selector.candidates, (c) => c.realServer) : selector.slots;
}

function availableIn({ servers }: Situation): number[] {
  return servers.flatMap((each, i) => (each.alive && each.weight > 0 ? [i] : []));
}

test('every available real server can be chosen, and no other', () => {
  fc.assert(
    fc.property(fc.constantFrom(...supportedSchedulers), situation, (name, given) => {
      const chosen = [...new Set(slotsOf(compile(name, given)))].filter((slot) => slot !== emptySlot);
      assert.deepEqual(
        chosen.sort((a, b) => a - b),
        availableIn(given),
      );
    }),
  );
});

test('slots are bounded, and a hash refuses nobody while a real server is available, but for quiesced ones of plain sh', () => {
  fc.assert(
    fc.property(fc.constantFrom(...supportedSchedulers), situation, (name, given) => {
      const selector = compile(name, given);
      assert.ok(slotsOf(selector).length <= 4096);
      if (selector.shape !== 'hash') return;
      const quiescedOfPlainSh =
        name === 'sh' && !given.fallback && given.servers.some((s) => s.alive && s.weight === 0);
      const refusesSome = selector.slots.includes(emptySlot);
      assert.equal(refusesSome, availableIn(given).length === 0 || quiescedOfPlainSh);
    }),
  );
});

test('wrr and mh keep the proportions of the weights within rounding', () => {
  const weights = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(fc.constantFrom('wrr' as const, 'mh' as const), weights, (name, given) => {
      const slots = slotsOf(
        compile(name, { servers: given.map((weight) => ({ weight, alive: true })), fallback: false }),
      );
      const sum = given.reduce((a, b) => a + b);
      for (const [i, weight] of given.entries()) {
        const held = slots.filter((slot) => slot === i).length;
        assert.ok(Math.abs(held - (weight * slots.length) / sum) <= 1, `${name} ${given}: ${i} holds ${held}`);
      }
    }),
  );
});

test('compiling twice gives the same', () => {
  fc.assert(
    fc.property(fc.constantFrom(...supportedSchedulers), situation, (name, given) => {
      assert.deepEqual(compile(name, given), compile(name, given));
    }),
  );
});

test('mh: when one of equals dies, few slots of the others move; with fallback none', () => {
  const sizes = fc.integer({ min: 2, max: 40 }).chain((count) => fc.tuple(fc.constant(count), fc.nat(count - 1)));
  fc.assert(
    fc.property(sizes, ([count, dies]) => {
      for (const fallback of [false, true]) {
        const all = Array.from({ length: count }, () => ({ weight: 1, alive: true }));
        const before = slotsOf(compile('mh', { servers: all, fallback }));
        const left = all.map((each, i) => ({ ...each, alive: i !== dies }));
        const after = slotsOf(compile('mh', { servers: left, fallback }));
        const moved = before.filter((owner, slot) => owner !== dies && after[slot] !== owner).length;
        assert.ok(moved <= (fallback ? 0 : before.length * 0.05), `${count} servers, ${dies} dies: ${moved} moved`);
      }
    }),
    { numRuns: 60 },
  );
});

test('fallback divides the slots of a dead real server among all the others', () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 10 }), fc.nat(9), (count, at) => {
      const dies = at % count;
      const servers = Array.from({ length: count }, (_, i) => ({ weight: 1, alive: i !== dies }));
      const slots = slotsOf(compile('mh', { servers, fallback: true }));
      for (let i = 0; i < count; i += 1) {
        if (i === dies) continue;
        const share = slots.filter((slot) => slot === i).length / slots.length;
        assert.ok(Math.abs(share * (count - 1) - 1) < 0.15, `${count} servers: ${i} has ${share}`);
      }
    }),
    { numRuns: 30 },
  );
});
