// SPDX-License-Identifier: Apache-2.0
import type { RejectionReason } from '../../../vrrp/ladder.ts';
import type { Note, RouterState, TransitionReason } from '../../../vrrp/state.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Where the election's sentences go. `router` is the name of the virtual router it is about. */
export type ElectionLog = (level: LogLevel, sentence: string, router: string | undefined) => void;

const reasonTexts = {
  startup: 'it has started',
  shutdown: 'it is being stopped',
  owner: 'it owns the addresses',
  'active-down': 'no advertisement came within the active down interval',
  'active-resigned': 'the active router resigned',
  preempting: 'the active router has a lower priority',
  outranked: 'another router with a better claim is active',
  mute: 'another router is active and its own advertisements do not get out',
  lapsed: 'its lease had run out before it could advertise again',
  succession: 'it goes on from the process before it',
  handover: 'it was asked to hand over',
  'interface-down': 'the interface is down',
  'interface-up': 'the interface is up again',
} as const satisfies Record<TransitionReason, string>;

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

export function transitionSentence(to: RouterState['kind'], reason: TransitionReason): string {
  return `is now ${to}: ${reasonTexts[reason]}`;
}

export function noteSentence(note: Note): readonly [LogLevel, string] {
  return noteTexts[note];
}

export function rejectionSentence(reason: RejectionReason, source: string, interfaceName: string): string {
  return `discards an advertisement from ${source} on ${interfaceName} (${reason}); further ones are only counted`;
}

export function addressListSentence(source: string): string {
  return `${source} advertises other addresses than configured here; make them the same`;
}
