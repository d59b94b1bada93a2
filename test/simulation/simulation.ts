// SPDX-License-Identifier: Apache-2.0
import { createPrng, type Prng } from '../../src/lib/prng.ts';
import type { Mutation } from './director.ts';
import { faultNames, faultNamesInPlace, faultsInPlace, stalls, syncCuts, wireCuts } from './faults.ts';
import { chance, makePlan, type Plan, pick } from './plan.ts';
import type { Violation } from './rules.ts';
import { Transcript } from './transcript.ts';
import { World } from './world.ts';

export interface Outcome {
  readonly seed: number;
  readonly plan: Plan;
  readonly violation: Violation | undefined;
  /** Equal for equal runs: a hash of everything that happened and when. */
  readonly digest: number;
  /** Empty unless it was asked for. */
  readonly transcript: string;
  readonly simulatedMs: number;
  readonly sessionsOpened: number;
  readonly sessionsBroken: number;
  /** How often two directors took over at the same moment, before either could have heard the other. */
  readonly simultaneous: number;
}

/** Beyond three intervals and the skew time: settling, an engine that was judged dead, sync that finds no peer. */
const slackMs = 700;
const snapshotMs = 500;
const boundsPeriodMs = 1000;

/** In the runs of these seeds directors are restarted in place, besides all other failures. */
export const inPlaceFromSeed = 1_000_000;
const syncCutShare = 0.15;
const stallShare = 0.25;

/** One run. The same seed gives the same run, with or without a transcript. */
export async function simulate(seed: number, mutation: Mutation = {}, keepTranscript = false): Promise<Outcome> {
  const plan = makePlan(seed);
  const dice = createPrng(seed ^ 0x1234_5677);
  const extra: ExtraDice = { cuts: createPrng(seed ^ 0x0a34), stalls: createPrng(seed ^ 0x57a1) };
  const transcript = new Transcript(keepTranscript);
  const world = new World(plan, transcript, mutation);
  watchBounds(world);
  for (const name of plan.names) world.later(dice.below(plan.startSpreadMs + 1), () => world.start(name));
  await world.run(plan.startSpreadMs + 1 + recoveredWithinIntervals * plan.intervalMaxMs + slackMs + snapshotMs);
  for (let i = 0; i < plan.faults && world.rules.violation === undefined; i += 1) {
    if (plan.style === 'single') await failOnce(world, dice, extra);
    else await failOften(world, dice, extra);
  }
  if (world.rules.violation === undefined) await finish(world);
  return {
    seed,
    plan,
    violation: world.rules.violation,
    digest: world.digest,
    transcript: transcript.text(),
    simulatedMs: world.time.nowMs() - 10_000,
    sessionsOpened: world.sessions.opened,
    sessionsBroken: world.sessions.broken,
    simultaneous: world.rules.simultaneous,
  };
}

/** Two active down intervals: a director that has just begun to listen may wait for the first one. */
const wholeWithinIntervals = 8;
/** After a single failure one active down interval is enough. */
const recoveredWithinIntervals = 5;

function slowestMs(world: World): number {
  const configured = world.directors.flatMap(({ routers }) => routers.map(({ advertIntervalMs }) => advertIntervalMs));
  return Math.max(world.plan.intervalMaxMs, ...configured);
}

async function failOnce(world: World, dice: Prng, extra: ExtraDice): Promise<void> {
  const atLeastMs = fail(world, dice, extra);
  await world.run(atLeastMs + dice.below(pick(dice, [20, 500, 5 * world.plan.intervalMaxMs + 500])));
  world.heal();
  await world.run(recoveredWithinIntervals * slowestMs(world) + slackMs + snapshotMs);
}

async function failOften(world: World, dice: Prng, extra: ExtraDice): Promise<void> {
  for (let i = 1 + dice.below(6); i > 0 && world.rules.violation === undefined; i -= 1) {
    fail(world, dice, extra);
    await world.run(dice.below(pick(dice, [5, 50, world.plan.intervalMaxMs * 4])));
    if (chance(dice, 0.2)) world.heal();
  }
  if (chance(dice, 0.5)) world.heal();
  await world.run(dice.below(1500));
}

/**
 * They decide apart from the other dice whether sync fails alone, or something stands still: the named seeds keep their
 * stories.
 */
interface ExtraDice {
  readonly cuts: Prng;
  readonly stalls: Prng;
}

/** Gives how long the failure lasts at least. */
function fail(world: World, dice: Prng, { cuts, stalls: stallDice }: ExtraDice): number {
  const name = pick(dice, world.plan.names);
  const usual = pick(dice, world.plan.seed < inPlaceFromSeed ? faultNames : faultNamesInPlace);
  // When two of three directors that are both active close a session at one of them, its removal reaches the third from there
  // and takes away what that has from the other: docs/limits.md. So nothing that makes two active is added to other failures then.
  const { names, style } = world.plan;
  const mayCut = names.length === 2 || style === 'single';
  const isStall = mayCut && chance(stallDice, stallShare);
  const cut = mayCut && chance(cuts, syncCutShare) ? pick(cuts, Object.keys(syncCuts)) : usual;
  const fault = isStall ? pick(stallDice, Object.keys(stalls)) : cut;
  world.write(name, `--- ${fault}`);
  world.beginFailure(wireCuts.has(fault));
  if (isStall) return stalls[fault]!(world, name, stallDice);
  if (fault === usual) faultsInPlace[fault]!(world, name, dice);
  else syncCuts[fault]!(world, name, cuts);
  return 0;
}

/** The network is whole and nothing fails any more: every rule must hold soon, and go on holding. */
async function finish(world: World): Promise<void> {
  world.heal();
  // Events that the last failure has scheduled for later may come now.
  await world.run(1500);
  world.heal();
  await world.run(wholeWithinIntervals * slowestMs(world) + slackMs);
  await checkActive(world);
  world.sessions.settle();
  await world.run(world.times.establishedMs + world.times.closedMs + 700);
  await checkActive(world);
  checkTables(world);
}

async function checkActive(world: World): Promise<void> {
  for (let slot = 0; slot < world.routerCount; slot += 1) {
    // A preemption may be under way: between two active directors there is none for a moment.
    for (let wait = 0; wait < 5 && world.rules.holders(slot).length === 0; wait += 1) await world.run(20);
    const holders = world.rules.holders(slot);
    if (holders.length !== 1)
      world.rules.break('an active one', `vr${slot} is held by ${holders.join(', ') || 'nobody'}`);
  }
}

function checkTables(world: World): void {
  const tables = world.directors.map(({ name, engine }) => ({ name, lines: new Set(engine.contents()) }));
  const all = new Set(tables.flatMap(({ lines }) => [...lines]));
  for (const line of all) {
    const holders = tables.filter(({ lines }) => lines.has(line)).map(({ name }) => name);
    if (holders.length < tables.length) world.rules.break('equal tables', `${line} only at ${holders.join(', ')}`);
  }
  const gates = world.directors.map(({ name, replication }) => `${name} ${replication.gate}`);
  if (world.directors.some(({ replication }) => replication.gate !== 'inSync')) {
    world.rules.break('equal tables', `not all are in sync: ${gates.join(', ')}`);
  }
}

function watchBounds(world: World): void {
  const look = (): void => {
    for (const director of world.directors) world.rules.checkBounds(director);
    world.later(boundsPeriodMs, look);
  };
  look();
}
