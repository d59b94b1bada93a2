// SPDX-License-Identifier: Apache-2.0

/** The greatest common divisor of positive integers; 1 for none. */
export function greatestCommonDivisor(values: readonly number[]): number {
  let divisor = 0;
  for (const value of values) {
    let rest = value;
    while (rest !== 0) [divisor, rest] = [rest, divisor % rest];
  }
  return divisor || 1;
}

/**
 * Divides `total` slots among positive weights: proportionally, at least one slot each, the rest by largest remainder
 * (ties to the first). The shares add up to `total`, which must be at least the number of weights.
 */
export function apportion(weights: readonly number[], total: number): number[] {
  const shares = new Array<number>(weights.length).fill(0);
  let open = weights.map((_, i) => i);
  let slots = total;
  for (;;) {
    const sum = open.reduce((acc, i) => acc + weights[i]!, 0);
    const small = open.filter((i) => weights[i]! * slots < sum);
    if (small.length === 0) {
      shareOut(weights, open, slots, sum, shares);
      return shares;
    }
    // A real server that would get less than one slot gets one, at the expense of the others, whose shares are computed again.
    for (const i of small) shares[i] = 1;
    slots -= small.length;
    open = open.filter((i) => shares[i] === 0);
  }
}

function shareOut(weights: readonly number[], open: readonly number[], slots: number, sum: number, shares: number[]) {
  let left = slots;
  for (const i of open) {
    shares[i] = Math.floor((weights[i]! * slots) / sum);
    left -= shares[i]!;
  }
  const byRemainder = open.toSorted((a, b) => ((weights[b]! * slots) % sum) - ((weights[a]! * slots) % sum));
  for (const i of byRemainder.slice(0, left)) shares[i]! += 1;
}
