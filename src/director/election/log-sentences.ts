// SPDX-License-Identifier: Apache-2.0

import type { FaultKind, FaultReason } from '../../../vrrp/faults.ts';
import type { RejectionReason } from '../../../vrrp/ladder.ts';
import type { Note, RouterAction, TransitionReason } from '../../../vrrp/state.ts';
import type { LogLevel } from '../../lib/log.ts';

/** Takes the election's log lines. `router` is the name of the virtual router that the sentence is about. */
export type ElectionLog = (level: LogLevel, sentence: string, router: string | undefined) => void;

const reasonTexts = {
  startup: 'it has started',
  shutdown: 'it is being stopped',
  owner: 'it owns the addresses',
  'active-down': 'no advertisement came within the active down interval',
  'active-resigned': 'the active router resigned',
  preempting: 'the active router has a lower priority',
  outranked: 'another router with a better claim is active',
  'cannot-advertise': 'another router is active and its own advertisements do not get out',
  'lease-expired': 'its lease had run out before it could advertise again',
  succession: 'it continues from the former vrrp process',
  handover: 'it was asked to hand over',
  'fault-raised': 'it cannot take part',
  'fault-cleared': 'it can take part again',
} as const satisfies Record<TransitionReason, string>;

/** The texts for a fault that is raised, and for one that is cleared. */
const faultTexts = {
  link: ['the interface is down', 'the interface is up again'],
  address: ['the interface has no address to send from', 'the interface has an address to send from'],
  route: ['no route leads to any of its real servers', 'a route leads to its real servers again'],
  'tracked-interface': ['a tracked interface is down', 'the tracked interface is up again'],
  script: ['a tracked script fails', 'the tracked script succeeds again'],
  process: ['a tracked process does not run', 'the tracked process runs again'],
  file: ['a tracked file demands it', 'the tracked file no longer demands it'],
  bfd: ['a tracked BFD session is down', 'the tracked BFD session is up again'],
  'sync-group': ['another virtual router of its sync group is in fault', 'its sync group is no longer in fault'],
  administrator: ['an operator has taken it out', 'an operator has put it back'],
} as const satisfies Record<FaultKind, readonly [string, string]>;

const noteTexts = {
  acquired: ['info', 'holds the addresses'],
  'settling-extended': ['warn', 'waits for another active router that has not stepped down yet'],
  'rival-answered': [
    'warn',
    'heard another active router with a lesser claim, answered it and announces its addresses again',
  ],
  'rival-ignored': ['warn', 'ignores a router with a lesser claim that says it is active or was'],
  'late-timer': ['debug', 'was woken late; reads waiting advertisements before it decides'],
  'preempt-delayed': ['info', 'hears an active router with a lower priority and waits for the preempt delay'],
} as const satisfies Record<Note, readonly [LogLevel, string]>;

export function transitionSentence({ to, reason, fault }: Extract<RouterAction, { kind: 'notify' }>): string {
  return `is now ${to}: ${fault === undefined ? reasonTexts[reason] : faultText(fault, to === 'fault')}`;
}

/** Why a virtual router cannot take part. */
export function faultSentence(fault: FaultReason): string {
  return faultText(fault, true);
}

function faultText({ kind, name }: FaultReason, raised: boolean): string {
  const text = faultTexts[kind][raised ? 0 : 1];
  return name === undefined ? text : `${text} (${name})`;
}

export function noteSentence(note: Note): readonly [LogLevel, string] {
  return noteTexts[note];
}

export function rejectionSentence(reason: RejectionReason, source: string, interfaceName: string): string {
  return `discards an advertisement from ${source} on ${interfaceName} (${reason}); further ones are only counted`;
}

export function shortenedIntervalSentence(source: string, advertisedMs: number, adoptedMs: number): string {
  return (
    `${source} says that it advertises every ${advertisedMs / 1000} s; until it has done so for that long, ` +
    `${adoptedMs / 1000} s are adopted (max_adopted_interval)`
  );
}

export function addressListSentence(source: string): string {
  return `${source} advertises other addresses than configured here; make them the same`;
}
