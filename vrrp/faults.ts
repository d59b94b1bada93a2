// SPDX-License-Identifier: Apache-2.0

/** Kinds of reasons why a virtual router cannot take part in the election: keepalived's FAULT, which RFC 9568 lacks. */
export type FaultKind =
  /** The link of its own interface is down. */
  | 'link'
  /** There is no address to send from, or no interface. */
  | 'address'
  /** No route leads to any of the real servers behind its addresses. */
  | 'route'
  | 'tracked-interface'
  | 'script'
  | 'process'
  | 'file'
  | 'bfd'
  /** Another virtual router of its sync group is in fault. */
  | 'sync-group'
  /** An operator has taken it out of the election. */
  | 'administrator';

/** Two reasons with the same kind and name are the same reason. */
export interface FaultReason {
  readonly kind: FaultKind;
  /** The script, process, file or interface. Absent where only one of the kind can exist. */
  readonly name?: string;
}

/** Each reason belongs to something that the virtual router's configuration names; no configuration names this many. */
export const faultReasonsMax = 256;

/**
 * Adds a reason unless it is there already. Throws a RangeError beyond `faultReasonsMax`: that is a bug of the caller.
 */
export function raiseFault(faults: readonly FaultReason[], reason: FaultReason): readonly FaultReason[] {
  if (faults.some((each) => isSameFault(each, reason))) return faults;
  if (faults.length === faultReasonsMax) throw new RangeError(`more than ${faultReasonsMax} reasons to be in fault`);
  return [...faults, reason];
}

/** Removes a reason if it is there. */
export function clearFault(faults: readonly FaultReason[], reason: FaultReason): readonly FaultReason[] {
  return faults.filter((each) => !isSameFault(each, reason));
}

/** Whether nothing that is sent with this fault would be heard. */
export function isMute({ kind }: FaultReason): boolean {
  return kind === 'link' || kind === 'address';
}

export function isSameFault(left: FaultReason, right: FaultReason): boolean {
  return left.kind === right.kind && left.name === right.name;
}
