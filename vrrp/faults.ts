// SPDX-License-Identifier: Apache-2.0

/** What can keep a virtual router out of the election, where RFC 9568 assumes that nothing does; keepalived's FAULT. */
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
  /** Somebody wants it so. */
  | 'administrator';

/** Two reasons with the same kind and name are the same reason. */
export interface FaultReason {
  readonly kind: FaultKind;
  /** Which script, process, file, interface. Absent: there is one of its kind. */
  readonly name?: string;
}

/** Each reason is something that a configuration names, and no configuration of a virtual router names as many. */
export const faultReasonsMax = 256;

/** The reasons with one more. Throws a RangeError beyond `faultReasonsMax`: whoever raises them has lost track. */
export function raiseFault(faults: readonly FaultReason[], reason: FaultReason): readonly FaultReason[] {
  if (faults.some((each) => isSameFault(each, reason))) return faults;
  if (faults.length === faultReasonsMax) throw new RangeError(`more than ${faultReasonsMax} reasons to be in fault`);
  return [...faults, reason];
}

/** The reasons without this one, which need not be among them. */
export function clearFault(faults: readonly FaultReason[], reason: FaultReason): readonly FaultReason[] {
  return faults.filter((each) => !isSameFault(each, reason));
}

export function isSameFault(left: FaultReason, right: FaultReason): boolean {
  return left.kind === right.kind && left.name === right.name;
}
