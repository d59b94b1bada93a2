// SPDX-License-Identifier: Apache-2.0
import { type DropReason, dropReasons, type EngineCounters } from '../engine.ts';
import { TallyLayout } from './layout/structs.ts';
import type { MappedArray } from './mapped-array.ts';

/** In the order of `enum tally_event`. */
const tallyEvents = [
  'halfOpenEvictions',
  'arpReplies',
  'neighbourReplies',
  'echoReplies',
  'resetsSent',
  'unreachablesSent',
  'errorsSuppressed',
  'eventOverruns',
  'secondClassEvictions',
] as const satisfies readonly (keyof EngineCounters)[];
export type TallyEvent = (typeof tallyEvents)[number];

const bytesPerCounter = 8;

/** Over all processors. */
export function sumDrops(tallies: MappedArray): Record<DropReason, number> {
  return sums(tallies, TallyLayout.drops, dropReasons);
}

export function sumEvents(tallies: MappedArray): Record<TallyEvent, number> {
  return sums(tallies, TallyLayout.events, tallyEvents);
}

export function eventOverruns(tallies: MappedArray): number {
  return sumOf(tallies, TallyLayout.events + bytesPerCounter * tallyEvents.indexOf('eventOverruns'));
}

function sums<Name extends string>(tallies: MappedArray, first: number, names: readonly Name[]): Record<Name, number> {
  const entries = names.map((name, i) => [name, sumOf(tallies, first + bytesPerCounter * i)]);
  return Object.fromEntries(entries) as Record<Name, number>;
}

function sumOf(tallies: MappedArray, field: number): number {
  let sum = 0;
  for (let processor = 0; processor < tallies.length; processor += 1) sum += tallies.readCounter(processor, field);
  return sum;
}
