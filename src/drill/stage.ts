// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../lib/ip-address.ts';
import { monotonicMs } from './director.ts';
import type { DrillSettings } from './engine.ts';
import { isActive, readyTimeoutMs } from './health.ts';
import type { DirectorName } from './lab/topology.ts';
import type { WireReport } from './measure/capture.ts';
import type { Pair } from './pair.ts';
import type { TimelineEntry } from './result.ts';

/** The kind of a takeover: after a failure that must be noticed, or planned. */
export type TakeoverKind = 'failure' | 'planned';

/** A time in which one director took over from the other. */
export interface TakeoverWindow {
  readonly from: DirectorName;
  readonly to: DirectorName;
  readonly kind: TakeoverKind;
  /** The end of the previous takeover, or the scenario's begin: since then only `from` has been forwarding. */
  readonly fromMs: number;
  readonly triggerMs: number;
}

/** The observations of a scenario that is over. */
export interface Evidence {
  readonly wire: WireReport;
  /** The local ports of the client's sessions that broke. */
  readonly brokenPorts: readonly number[];
}

/** A check of the evidence: a sentence for everything that did not hold. */
export type Check = (evidence: Evidence) => readonly string[];

/** The pair that a scenario runs on, and the record of its events and findings. */
export interface Stage {
  readonly pair: Pair;
  readonly options: DrillSettings;
  readonly say: (text: string) => void;
  /** Triggers a takeover and waits until the new active director forwards. Resolves with the moment of the trigger. */
  takeOver(from: DirectorName, to: DirectorName, kind: TakeoverKind, what: string, trigger: Trigger): Promise<number>;
  /**
   * For a failure that has happened already: resolves with true once the new active director forwards, with false when it
   * does not become active in time.
   */
  awaitTakeover(
    from: DirectorName,
    to: DirectorName,
    kind: TakeoverKind,
    sinceMs: number,
    timeoutMs: number,
  ): Promise<boolean>;
  /** Enters a moment into the timeline. */
  note(what: string, atMs?: number): void;
  /** For a scenario in which nobody takes over and nothing may be lost: the gap that a probe has found. */
  measured(family: Family, gapMs: number): void;
  /** Records a requirement that did not hold. */
  fail(sentence: string): void;
  /** Records an observation for the report. */
  tell(sentence: string): void;
  /** To be called with the evidence when the scenario is over. */
  check(check: Check): void;
}

/** Triggers the scenario's event. Returns its moment, in monotonic milliseconds. */
export type Trigger = () => number | Promise<number>;

export interface StageRecord {
  readonly timeline: readonly TimelineEntry[];
  readonly windows: readonly TakeoverWindow[];
  readonly measured: readonly { readonly family: Family; readonly gapMs: number }[];
  readonly failures: string[];
  readonly observations: string[];
  readonly checks: readonly Check[];
}

export interface Scenario {
  /** The director that is active before, and the one that is after the first takeover. */
  readonly from: DirectorName;
  readonly to: DirectorName;
  /** Brings the pair to where the scenario starts; without it, a is active and b its backup in sync. */
  prepare?(stage: Stage): Promise<void>;
  run(stage: Stage): Promise<void>;
}

const forwardingTimeoutMs = 15_000;

export function createStage(
  context: Pick<Stage, 'pair' | 'options' | 'say'>,
  sinceMs: number,
): { stage: Stage; record: StageRecord } {
  const { pair, options, say } = context;
  const timeline: TimelineEntry[] = [];
  const windows: TakeoverWindow[] = [];
  const measured: { family: Family; gapMs: number }[] = [];
  const said = { failures: [] as string[], observations: [] as string[] };
  const record = { timeline, windows, measured, ...said, checks: [] as Check[] };
  let settledMs = sinceMs;
  const note = (what: string, atMs = monotonicMs()): void => {
    timeline.push({ atMs, what });
  };
  const follow = async (from: DirectorName, to: DirectorName, kind: TakeoverKind, triggerMs: number): Promise<void> => {
    windows.push({ from, to, kind, fromMs: settledMs, triggerMs });
    await pair.directors[to].await('active', isActive, readyTimeoutMs);
    note(`director ${to} says that it is active`);
    const forwardedMs = await pair.capture.call<number | undefined>(
      ...(['awaitForwarding', to, pair.families, triggerMs, forwardingTimeoutMs] as const),
    );
    if (forwardedMs === undefined)
      record.failures.push(`director ${to} did not forward within ${forwardingTimeoutMs / 1000} s`);
    settledMs = forwardedMs ?? monotonicMs();
  };
  const stage: Stage = {
    pair,
    options,
    say,
    note,
    takeOver: async (from, to, kind, what, trigger) => {
      say(what);
      const triggerMs = await trigger();
      note(what, triggerMs);
      await follow(from, to, kind, triggerMs);
      return triggerMs;
    },
    awaitTakeover: async (from, to, kind, sinceMs, timeoutMs) => {
      const left = Math.max(0, sinceMs + timeoutMs - monotonicMs());
      if (!(await pair.directors[to].becomes(isActive, left))) return false;
      await follow(from, to, kind, sinceMs);
      return true;
    },
    measured: (family, gapMs) => measured.push({ family, gapMs }),
    fail: (sentence) => record.failures.push(sentence),
    tell: (sentence) => record.observations.push(sentence),
    check: (check) => record.checks.push(check),
  };
  return { stage, record };
}
