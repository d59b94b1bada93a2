// SPDX-License-Identifier: Apache-2.0
import type { HandoverRecord } from '../../vrrp/state.ts';
import type { RouterAssignment } from '../director/address-plan.ts';
import type { ElectionHandoverRecord, RouterHandoverRecord } from '../director/election/election-view.ts';
import { familyOf, type IpAddress, parseIpAddress } from '../lib/ip-address.ts';
import { accept, type Result, reject } from '../lib/result.ts';
import { routerLeaseSlotsMax } from '../model/lease.ts';
import type { UnicastPeer, VirtualAddress } from '../model/virtual-router.ts';
import { wireNames } from './wire-names.ts';

// The text of a handover record: JSON, whose field names never change, because a predecessor and its successor may be
// of different versions.

type HandoverRecordReason = 'not-json' | 'malformed';

/** More than keepalived's 64 KiB advertisement could name. */
const addressesMax = 2048;
const textLengthMax = 255;
/** The longest duration in a configuration: a garp_master_refresh may be 49 days. */
const durationMsMax = 1e10;
/** The longest that version 2 can advertise (RFC 3768 section 5.3.7): eight bits of seconds. */
const intervalMsMax = 255_000;
/** The latest time: 285 years of running time. */
const timeMsMax = 9e12;

export function emitHandoverRecord({ gateOpen, routers }: ElectionHandoverRecord): string {
  const written = routers.map(({ assignment, record }) => ({
    [wireNames.assignment]: writeAssignment(assignment),
    [wireNames.record]: record === null ? null : writeState(record),
  }));
  return JSON.stringify({ gateOpen, routers: written });
}

/**
 * Reads the output of `emitHandoverRecord`, of this version or another. Only the form is checked here; the state
 * machine limits each time to the latest that its rule allows.
 */
export function parseHandoverRecord(text: string): Result<ElectionHandoverRecord, HandoverRecordReason> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return reject('not-json');
  }
  try {
    const { gateOpen, routers } = record(value);
    return accept({ gateOpen: truth(gateOpen), routers: list(routers, routerLeaseSlotsMax).map(readRouter) });
  } catch (error) {
    if (error instanceof Malformed) return reject('malformed');
    throw error;
  }
}

class Malformed extends Error {}

function writeAssignment({ router, leaseSlot, installed }: RouterAssignment): Record<string, unknown> {
  // The successor has its own real servers.
  const { realServers: _, ...written } = router;
  const addresses = router.addresses.map((each) => ({ ...each, install: installed.has(each.address) }));
  return { ...written, addresses, leaseSlot };
}

/** Writes the fields one by one, because some have another name in the text than in the state machine. */
function writeState(state: HandoverRecord): Record<string, unknown> {
  const { kind, sinceMs } = state;
  if (kind === 'active') {
    const { leaseUntilMs: voiceUntilMs, lastAdvertisementSent: voiced, settling, holding } = state;
    return { kind, sinceMs, voiceUntilMs, voiced, settling, holding };
  }
  return {
    kind,
    sinceMs,
    heldOff: state.heldOff,
    downAtMs: state.activeDownTimerAtMs,
    activeIntervalMs: state.activeAdverIntervalMs,
    heard: state.heard,
    claimedUntilMs: state.otherActiveUntilMs,
    preemptAfterMs: state.preemptDelayUntilMs,
  };
}

function readRouter(value: unknown): RouterHandoverRecord {
  const { [wireNames.assignment]: assignment, [wireNames.record]: state } = record(value);
  return { assignment: readAssignment(assignment), record: state === null ? null : readState(state) };
}

function readAssignment(value: unknown): RouterAssignment {
  const fields = record(value);
  const { sourceAddress, unicastPeers, checksumForm, announcement, maxAdoptedIntervalMs } = fields;
  const addresses = list(fields.addresses, addressesMax).map(readAddress);
  const family = oneOf(fields.family, ['ipv4', 'ipv6']);
  const { repeat, delayMs, refreshMs, refreshRepeat, intervalMs } = record(announcement);
  const router = {
    name: text(fields.name),
    interface: text(fields.interface),
    family,
    vrid: whole(fields.vrid, 1, 255),
    version: oneOf(fields.version, [2, 3]),
    priority: whole(fields.priority, 1, 255),
    advertIntervalMs: number(fields.advertIntervalMs, 1, intervalMsMax),
    ...(maxAdoptedIntervalMs === undefined
      ? {}
      : { maxAdoptedIntervalMs: number(maxAdoptedIntervalMs, 1, intervalMsMax) }),
    startAs: oneOf(fields.startAs, ['active', 'backup']),
    preempt: truth(fields.preempt),
    preemptDelayMs: number(fields.preemptDelayMs, 0, durationMsMax),
    addresses: addresses.map(([each]) => each),
    announcement: {
      repeat: whole(repeat, 0, 1e4),
      delayMs: number(delayMs, 0, durationMsMax),
      refreshMs: number(refreshMs, 0, durationMsMax),
      refreshRepeat: whole(refreshRepeat, 0, 1e4),
      intervalMs: number(intervalMs, 0, durationMsMax),
    },
    ...(sourceAddress === undefined ? {} : { sourceAddress: address(sourceAddress, family) }),
    ...(unicastPeers === undefined ? {} : { unicastPeers: list(unicastPeers, addressesMax).map(readPeer) }),
    ...(checksumForm === undefined ? {} : { checksumForm: oneOf(checksumForm, ['pseudo-header', 'message-only']) }),
  } as const;
  const installed = new Set(addresses.flatMap(([{ address: each }, install]) => (install ? [each] : [])));
  return { router, leaseSlot: whole(fields.leaseSlot, 0, routerLeaseSlotsMax - 1), installed };
}

/** Returns the address, and whether it is put on an interface. */
function readAddress(value: unknown): [VirtualAddress, boolean] {
  const fields = record(value);
  const { broadcast, scope, label } = fields;
  const virtual = {
    address: address(fields.address),
    prefixLength: whole(fields.prefixLength, 0, 128),
    interface: text(fields.interface),
    ...(broadcast === undefined ? {} : { broadcast: address(broadcast) }),
    ...(scope === undefined ? {} : { scope: whole(scope, 0, 255) }),
    ...(label === undefined ? {} : { label: text(label) }),
  };
  return [virtual, truth(fields.install)];
}

function readPeer(value: unknown): UnicastPeer {
  const { address: peer, minTtl, maxTtl } = record(value);
  return { address: address(peer), minTtl: whole(minTtl, 0, 255), maxTtl: whole(maxTtl, 0, 255) };
}

function readState(value: unknown): HandoverRecord {
  const fields = record(value);
  const kind = oneOf(fields.kind, ['active', 'backup']);
  const sinceMs = time(fields.sinceMs);
  if (kind === 'active') {
    return {
      kind,
      sinceMs,
      leaseUntilMs: time(fields.voiceUntilMs),
      lastAdvertisementSent: optional(fields.voiced, (voiced) => {
        const { atMs, intervalMs } = record(voiced);
        return { atMs: time(atMs), intervalMs: number(intervalMs, 1, intervalMsMax) };
      }),
      settling: optional(fields.settling, (settling) => {
        const { untilMs, limitMs, rival } = record(settling);
        return { untilMs: time(untilMs), limitMs: time(limitMs), rival: optional(rival, address) };
      }),
      holding: truth(fields.holding),
    };
  }
  return {
    kind,
    sinceMs,
    heldOff: truth(fields.heldOff),
    activeDownTimerAtMs: time(fields.downAtMs),
    activeAdverIntervalMs: number(fields.activeIntervalMs, 1, intervalMsMax),
    heard: optional(fields.heard, (heard) => {
      const { source, priority, intervalMs, atMs, resigned } = record(heard);
      return {
        source: address(source),
        priority: whole(priority, 0, 255),
        intervalMs: number(intervalMs, 0, intervalMsMax),
        atMs: time(atMs),
        resigned: truth(resigned),
      };
    }),
    otherActiveUntilMs: optional(fields.claimedUntilMs, time),
    preemptDelayUntilMs: optional(fields.preemptAfterMs, time),
  };
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Malformed();
  return value as Record<string, unknown>;
}

function list(value: unknown, lengthMax: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > lengthMax) throw new Malformed();
  return value;
}

function optional<Value>(value: unknown, read: (value: unknown) => Value): Value | null {
  return value === null ? null : read(value);
}

function text(value: unknown): string {
  if (typeof value !== 'string' || value.length === 0 || value.length > textLengthMax) throw new Malformed();
  return value;
}

function truth(value: unknown): boolean {
  if (typeof value !== 'boolean') throw new Malformed();
  return value;
}

function number(value: unknown, min: number, max: number): number {
  // Also refuses NaN, which compares with nothing.
  if (typeof value !== 'number' || !(value >= min && value <= max)) throw new Malformed();
  return value;
}

function whole(value: unknown, min: number, max: number): number {
  if (!Number.isInteger(value)) throw new Malformed();
  return number(value, min, max);
}

function time(value: unknown): number {
  return number(value, 0, timeMsMax);
}

function oneOf<const Value extends string | number>(value: unknown, values: readonly Value[]): Value {
  const found = values.find((each) => each === value);
  if (found === undefined) throw new Malformed();
  return found;
}

function address(value: unknown, family?: 'ipv4' | 'ipv6'): IpAddress {
  const parsed = typeof value === 'string' ? parseIpAddress(value) : undefined;
  if (parsed === undefined || (family !== undefined && familyOf(parsed) !== family)) throw new Malformed();
  return parsed;
}
