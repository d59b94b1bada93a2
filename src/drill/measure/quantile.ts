// SPDX-License-Identifier: Apache-2.0

export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Nearest rank: every figure is one that was measured. All zero for no values. */
export function quantiles(values: Float64Array): Quantiles {
  const sorted = values.toSorted();
  const rank = (fraction: number): number => sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? 0;
  return { p50: rank(0.5), p99: rank(0.99), max: rank(1) };
}
