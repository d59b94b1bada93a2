// SPDX-License-Identifier: Apache-2.0

/** Kinds of reasons why a virtual router cannot take part in the election. RFC 9568 knows none; keepalived's FAULT. */
export type FaultKind =
  /** The link of its own interface is down. */
  | 'link'
  /** There is no address to send from, or no interface. */
  | 'address'
  | 'tracked-interface'
  | 'script'
  | 'process'
  | 'file'
  | 'bfd'
  /** Another virtual router of its sync group is in fault. */
  | 'sync-group'
  /** An operator has taken it out. */
  | 'administrator';

/** Two reasons with the same kind and name are the same reason. */
export interface FaultReason {
  readonly kind: FaultKind;
  /** Which script, process, file, interface. Absent: there is one of its kind. */
  readonly name?: string;
}

/** Each reason is something that the configuration of a virtual router names, and none names as many. */
export const faultReasonsMax = 256;

/** Adds a reason, which may be there already. Throws a RangeError beyond `faultReasonsMax`: the caller has lost track. */
export function raiseFault(faults: readonly FaultReason[], reason: FaultReason): readonly FaultReason[] {
  if (faults.some((each) => isSameFault(each, reason))) return faults;
  if (faults.length === faultReasonsMax) throw new RangeError(`more than ${faultReasonsMax} reasons to be in fault`);
  return [...faults, reason];
}

/** Takes a reason out, which need not be there. */
export function clearFault(faults: readonly FaultReason[], reason: FaultReason): readonly FaultReason[] {
  return faults.filter((each) => !isSameFault(each, reason));
}

export function isSameFault(left: FaultReason, right: FaultReason): boolean {
  return left.kind === right.kind && left.name === right.name;
}
