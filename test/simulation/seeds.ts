// SPDX-License-Identifier: Apache-2.0

/** A run that found something, and what that was. It must stay without a violation. */
export interface NamedSeed {
  readonly seed: number;
  readonly found: string;
}

export const namedSeeds: readonly NamedSeed[] = [];
