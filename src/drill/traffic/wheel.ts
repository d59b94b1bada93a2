// SPDX-License-Identifier: Apache-2.0

/** Calls every member once a period, spread evenly over it, with one timer for all. */
export interface Wheel<Member> {
  add(member: Member): void;
  remove(member: Member): void;
  stop(): void;
}

const tickMs = 5;

export function createWheel<Member extends { readonly slot: number }>(
  periodMs: number,
  turn: (member: Member) => void,
): Wheel<Member> {
  const slotCount = Math.max(1, Math.round(periodMs / tickMs));
  const slots = Array.from({ length: slotCount }, () => new Set<Member>());
  const slotOf = (member: Member): Set<Member> => slots[member.slot % slotCount]!;
  const startedMs = performance.now();
  let turned = 0;
  const timer = setInterval(() => {
    const due = Math.floor((performance.now() - startedMs) / tickMs);
    // A process that was held up for longer than a period owes each member one message, not several.
    turned = Math.max(turned, due - slotCount);
    for (; turned < due; turned += 1) for (const member of slots[turned % slotCount]!) turn(member);
  }, tickMs);
  return {
    add: (member) => slotOf(member).add(member),
    remove: (member) => slotOf(member).delete(member),
    stop: () => clearInterval(timer),
  };
}
