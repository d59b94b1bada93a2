// SPDX-License-Identifier: Apache-2.0
import type { BpfLoadSettings } from './bpf-object.ts';
import { ways } from './limits.ts';

export interface XdpLimits {
  readonly halfOpenMax: number;
  readonly establishedMax: number;
  readonly destinationsMax?: number;
  readonly servicesMax?: number;
  /** Elements of all selectors together, those that are being replaced included. */
  readonly slotsMax?: number;
}

export interface XdpHost {
  /** The number of possible CPUs: the program's processor numbers are below this. */
  readonly processors: number;
  /** Resolution of CLOCK_MONOTONIC_COARSE (clock_getres): how far it may lag behind CLOCK_MONOTONIC. */
  readonly clockLagNs: number;
  /**
   * How far the time at which an entry was last seen may lag behind, in milliseconds, so that not every packet writes to
   * it. Absent: 0.
   */
  readonly seenGrainMs?: number;
  /** 64 random bits: nobody may be able to choose flows that meet in one bucket. */
  readonly hashSeed: bigint;
  /** Tests: the time stands in the settings of the program. */
  readonly testClock?: boolean;
}

export const defaultXdpLimits = {
  halfOpenMax: 65_536,
  establishedMax: 1_048_576,
  destinationsMax: 16_384,
  servicesMax: 4_096,
  slotsMax: 524_288,
} as const satisfies XdpLimits;

/** Half of the slots stay free, so that hardly any bucket is ever full. */
const slotsPerEntry = 2;
/** Half-open entries that have been touched or closed leave their old positions in the ring behind. */
const ringSlotsPerEntry = 4;

/** The settings that are fixed before the program is verified: its constants and the sizes of its maps. */
export function loadSettings(limits: XdpLimits, host: XdpHost): BpfLoadSettings {
  const { halfOpenMax, establishedMax, destinationsMax, servicesMax, slotsMax } = { ...defaultXdpLimits, ...limits };
  const { processors } = host;
  const buckets = Math.ceil((slotsPerEntry * (establishedMax + halfOpenMax)) / ways);
  const ringSize = powerOfTwoFrom(ringSlotsPerEntry * halfOpenMax);
  return {
    constants: {
      buckets4: buckets,
      buckets6: buckets,
      half_open_max: halfOpenMax,
      established_max: establishedMax,
      ring_mask: ringSize - 1,
      destinations_max: destinationsMax,
      services_max: servicesMax,
      processors,
      hash_seed: host.hashSeed,
      clock_lag: host.clockLagNs,
      seen_grain: host.seenGrainMs ?? 0,
      test_clock: host.testClock === true ? 1 : 0,
    },
    mapSizes: {
      table4: buckets,
      table6: buckets,
      half_open_ring: ringSize,
      destinations: destinationsMax,
      loads: destinationsMax,
      real_servers4: destinationsMax,
      real_servers6: destinationsMax,
      services: servicesMax,
      services4: servicesMax,
      services6: servicesMax,
      slots: slotsMax,
      traffic: processors * destinationsMax,
      tallies: processors,
    },
  };
}

function powerOfTwoFrom(least: number): number {
  let power = 1;
  while (power < least) power *= 2;
  return power;
}
