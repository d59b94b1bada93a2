// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sign } from '../../../src/model/lease.ts';
import { PartsWatch, signMs } from '../../../src/processes/vrrp/watch.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';

/** A director whose parts sign each 100 ms unless a test stops them, and what the vrrp process does about it. */
class Bench {
  readonly time = new SimulatedTime(1000);
  readonly story: string[] = [];
  readonly outdated: boolean[] = [];
  readonly stopped = new Set<'sync' | 'director'>();
  readonly signs = new Map<Sign, number>();
  readonly watch: PartsWatch;
  active: string[] = ['web'];
  hasPeer = true;
  hasSync = true;
  hasDirector = true;
  #fromMs = 0;
  #pausedUntilMs = 0;

  constructor() {
    this.#sign();
    this.watch = new PartsWatch({
      clock: {
        nowMs: () => this.time.nowMs(),
        callAt: (atMs, run) => this.time.callAt(Math.max(atMs, this.#pausedUntilMs), run),
      },
      signedUntilMs: (part) => this.signs.get(part) ?? 0,
      hasDirector: () => this.hasDirector,
      active: () => this.active,
      handOver: () => {
        this.#note('hands over');
        this.active = [];
      },
      release: () => this.#note('releases'),
      stay: () => this.#note('stays'),
      onOutdated: (isOutdated) => this.outdated.push(isOutdated),
      onLate: (isLate) => this.#note(isLate ? 'late' : 'well'),
      log: () => undefined,
    });
  }

  stop(...parts: ('sync' | 'director')[]): void {
    for (const part of parts) this.stopped.add(part);
    this.#fromMs = this.time.nowMs();
  }

  pauseWatchUntilMs(untilMs: number): void {
    this.#pausedUntilMs = untilMs;
  }

  continue(): void {
    this.stopped.clear();
    this.#fromMs = this.time.nowMs();
  }

  /** What has happened, and how many hundredths of a second after the last stop or continuation. */
  after(ms: number): string[] {
    this.time.advanceTo(this.time.nowMs() + ms);
    return this.story.splice(0);
  }

  #note(what: string): void {
    this.story.push(`${what} ${Math.floor((this.time.nowMs() - this.#fromMs) / 100) / 10} s`);
  }

  #sign(): void {
    const untilMs = this.time.nowMs() + signMs;
    if (!this.stopped.has('director')) this.signs.set(Sign.director, untilMs);
    if (!this.hasSync) this.signs.set(Sign.sync, Number.POSITIVE_INFINITY);
    else if (!this.stopped.has('sync')) {
      this.signs.set(Sign.sync, untilMs);
      this.signs.set(Sign.peer, this.hasPeer ? untilMs : 0);
    }
    this.time.callAt(this.time.nowMs() + 100, () => this.#sign());
  }
}

test('a director that hangs as a whole is handed over once, and is released when it has been well for a while', () => {
  const bench = new Bench();
  assert.deepEqual(bench.after(60_000), []);
  bench.stop('sync', 'director');
  assert.deepEqual(bench.after(60_000), ['late 0.6 s', 'hands over 0.6 s']);
  assert.equal(bench.watch.holds, true);
  bench.continue();
  assert.deepEqual(bench.after(60_000), ['well 2.1 s', 'releases 2.1 s']);
  assert.equal(bench.watch.holds, false);
});

test('the sync thread alone is handed over as soon, the event loop alone after the patience of a restart', () => {
  const bench = new Bench();
  bench.stop('sync');
  assert.deepEqual(bench.after(10_000), ['late 0.6 s', 'hands over 0.6 s']);
  const other = new Bench();
  other.stop('director');
  assert.deepEqual(other.after(10_000), ['late 5 s', 'hands over 5 s']);
  const brief = new Bench();
  brief.stop('director');
  assert.deepEqual(brief.after(4_800), []);
  brief.continue();
  assert.deepEqual(brief.after(10_000), [], 'a long reload is none');
});

test('one that hangs and is alone stays active, and admits connections', () => {
  const bench = new Bench();
  bench.hasPeer = false;
  bench.after(1_000);
  bench.stop('sync', 'director');
  assert.deepEqual(bench.after(10_000), ['late 0.6 s', 'stays 0.6 s']);
  bench.continue();
  assert.deepEqual(bench.after(10_000), ['well 2.1 s']);
  const busy = new Bench();
  busy.hasPeer = false;
  busy.after(1_000);
  busy.stop('director');
  assert.deepEqual(busy.after(10_000), ['late 5 s', 'stays 5 s'], 'the sync thread still looks for a peer');
});

test('without sync VRRP finds out whether somebody is there: nobody took over, so it stays', () => {
  const bench = new Bench();
  bench.hasSync = false;
  bench.after(1_000);
  bench.stop('director');
  assert.deepEqual(bench.after(6_000), ['late 5 s', 'hands over 5 s']);
  bench.active = ['web'];
  assert.deepEqual(bench.after(10_000), ['stays 6 s'], 'once');
  bench.continue();
  assert.deepEqual(bench.after(10_000), ['well 2.1 s'], 'there is no hold to end');
});

test('a backup that hangs takes over when the active director goes, and does not give the role to nobody', () => {
  const bench = new Bench();
  bench.active = [];
  bench.stop('sync', 'director');
  assert.deepEqual(bench.after(5_000), ['late 0.6 s']);
  bench.active = ['web'];
  assert.deepEqual(bench.after(5_000), ['stays 5 s']);
});

test('a pause of the vrrp process itself says nothing about the others', () => {
  const bench = new Bench();
  bench.after(1_000);
  bench.stop('sync', 'director');
  bench.pauseWatchUntilMs(bench.time.nowMs() + 3_000);
  bench.after(3_300);
  bench.stopped.clear();
  assert.deepEqual(bench.after(10_000), [], 'they had no more turns than it had, and get time for one');
});

test('after a pause of the vrrp process the gate is as it was told only when sync and then the director have turned', () => {
  const bench = new Bench();
  bench.after(1_000);
  assert.deepEqual(bench.outdated, []);
  bench.stop('sync', 'director');
  bench.pauseWatchUntilMs(bench.time.nowMs() + 3_000);
  bench.after(3_100);
  assert.deepEqual(bench.outdated, [true]);
  bench.stopped.delete('director');
  bench.after(400);
  assert.deepEqual(bench.outdated, [true], 'sync has not turned');
  bench.stopped.delete('sync');
  bench.after(50);
  assert.deepEqual(bench.outdated, [true], 'the director may not have read what sync has told');
  bench.after(350);
  assert.deepEqual(bench.outdated, [true, false]);
});

test('nor while the event loop is late, which may have a closed gate to tell of', () => {
  const bench = new Bench();
  bench.after(1_000);
  bench.stop('director');
  bench.after(500);
  assert.deepEqual(bench.outdated, []);
  bench.after(1_500);
  assert.deepEqual(bench.outdated, [true]);
  bench.continue();
  bench.after(400);
  assert.deepEqual(bench.outdated, [true, false]);
});

test('a director that has died is the matter of the grace period', () => {
  const bench = new Bench();
  bench.stop('sync', 'director');
  bench.hasDirector = false;
  assert.deepEqual(bench.after(10_000), []);
});
