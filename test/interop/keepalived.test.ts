// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Arena, interopUnavailable, type Variant } from './arena.ts';
import { type Claim, longestOverlapMs, reignsOf } from './wire-record.ts';

/** A router that hears a better one needs a moment to read it, on a busy machine a longer one. */
const transitionMsMax = 40;

const variants: Readonly<Record<string, Variant>> = {
  'version 3, IPv4': { family: 'ipv4', version: 3, intervalMs: 100, unicast: false },
  'version 3, IPv6': { family: 'ipv6', version: 3, intervalMs: 100, unicast: false },
  'version 3, IPv4, unicast': { family: 'ipv4', version: 3, intervalMs: 100, unicast: true },
  'version 3, IPv6, unicast': { family: 'ipv6', version: 3, intervalMs: 100, unicast: true },
  'version 3, IPv4, every second': { family: 'ipv4', version: 3, intervalMs: 1000, unicast: false },
  'version 2, every second': { family: 'ipv4', version: 2, intervalMs: 1000, unicast: false },
  'version 2, every second, unicast': { family: 'ipv4', version: 2, intervalMs: 1000, unicast: true },
};

describe('elections against keepalived', { skip: interopUnavailable(), concurrency: 4 }, () => {
  for (const [name, variant] of Object.entries(variants)) {
    test(`${name}: each takes over from the other`, { timeout: 80_000 }, () => holdElections(variant));
  }

  test('neither preempts with nopreempt', { timeout: 60_000 }, () =>
    inArena({ family: 'ipv4', version: 3, intervalMs: 100, unicast: false }, async (arena) => {
      await arena.startKeepalived(100, 'holding');
      await arena.startBaton(150, 'backup', { preempt: false });
      await arena.stopKeepalived('SIGTERM');
      await arena.batonEnters('holding');
      await arena.startKeepalived(200, 'backup', ['nopreempt']);
      await arena.stopBaton('SIGTERM');
      await arena.keepalivedEnters('holding');
      const { baton, keepalived } = arena.macs;
      return [keepalived, baton, keepalived];
    }),
  );

  test(
    'a keepalived that advertises thirty times as seldom is believed, and replaced when it dies',
    { timeout: 80_000 },
    () =>
      inArena({ family: 'ipv4', version: 3, intervalMs: 3000, unicast: false }, async (arena) => {
        await arena.startKeepalived(200, 'holding');
        await arena.startBaton(150, 'backup', { advertIntervalMs: 100 });
        // Without its answers baton would hold the addresses beside it for the first time after half a second.
        await arena.reigns(15_000);
        assert.ok(!arena.batonEntered.includes('holding'), arena.batonEntered.join(' '));
        await arena.stopKeepalived('SIGKILL');
        await arena.batonEnters('holding');
        return undefined;
      }),
  );

  test('of equal priorities the greater address wins, byte by byte unsigned', { timeout: 60_000 }, () =>
    inArena({ family: 'ipv6', version: 3, intervalMs: 100, unicast: false }, async (arena) => {
      // keepalived has fe80::80, baton fe80::7f. Both become active while they cannot hear each other.
      arena.cut();
      await Promise.all([arena.startBaton(100, 'holding'), arena.startKeepalived(100, 'holding')]);
      arena.join();
      await arena.batonEnters('backup');
      return undefined;
    }),
  );
});

/** Every way in which the addresses can go from one to the other. */
function holdElections(variant: Variant): Promise<void> {
  return inArena(variant, async (arena) => {
    // baton has the better priority.
    await arena.startKeepalived(100, 'holding');
    await arena.startBaton(150, 'holding');
    await arena.keepalivedEnters('backup');
    await arena.reigns(2 * transitionMsMax);
    await arena.stopBaton('SIGTERM');
    await arena.keepalivedEnters('holding');
    await arena.startBaton(150, 'holding');
    await arena.keepalivedEnters('backup');
    await arena.reigns(2 * transitionMsMax);
    await arena.stopBaton('SIGKILL');
    await arena.keepalivedEnters('holding');
    await arena.stopKeepalived('SIGTERM');
    // keepalived has it.
    await arena.startBaton(150, 'holding');
    await arena.startKeepalived(200, 'holding');
    await arena.batonEnters('backup');
    await arena.reigns(2 * transitionMsMax);
    await arena.stopKeepalived('SIGTERM');
    await arena.batonEnters('holding');
    await arena.startKeepalived(200, 'holding');
    await arena.batonEnters('backup');
    await arena.reigns(2 * transitionMsMax);
    await arena.stopKeepalived('SIGKILL');
    await arena.batonEnters('holding');
    const { baton, keepalived } = arena.macs;
    return [keepalived, baton, keepalived, baton, keepalived, baton, keepalived, baton, keepalived, baton];
  });
}

/** Runs a story, which gives who reigned in which order, and compares that with what was on the wire. */
async function inArena(variant: Variant, story: (arena: Arena) => Promise<string[] | undefined>): Promise<void> {
  const arena = new Arena(variant);
  try {
    await arena.ready();
    const expected = await story(arena);
    const { claims, complaints, advertisements } = await arena.record();
    assert.deepEqual(complaints, []);
    assert.ok(advertisements > 0, 'no advertisement of baton on the wire');
    if (expected === undefined) return;
    const reigns = reignsOf(claims, 2.5 * variant.intervalMs, transitionMsMax);
    assert.deepEqual(
      reigns.map(({ by }) => by),
      expected,
      describeClaims(claims),
    );
    const overlapMs = longestOverlapMs(reigns);
    assert.ok(overlapMs <= transitionMsMax, `two routers were active for ${overlapMs} ms\n${describeClaims(claims)}`);
  } finally {
    await arena.close();
  }
}

function describeClaims(claims: readonly Claim[]): string {
  const startMs = claims[0]?.atMs ?? 0;
  return claims.map(({ atMs, by, kind }) => `${(atMs - startMs).toFixed(1)} ${by} ${kind}`).join('\n');
}
