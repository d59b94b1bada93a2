// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Constants, Maps } from '../../../src/engine/xdp/layout/maps.ts';
import { defaultXdpLimits, loadSettings } from '../../../src/engine/xdp/load-settings.ts';

test('constants and map sizes for given limits', () => {
  const limits = { halfOpenMax: 1000, establishedMax: 10_001, destinationsMax: 100, servicesMax: 10, slotsMax: 500 };
  const host = { processors: 3, clockLagNs: 4_000_000, hashSeed: 0xfedc_ba98_7654_3210n };
  assert.deepEqual(loadSettings(limits, host), {
    constants: {
      buckets4: 5501,
      buckets6: 5501,
      half_open_max: 1000,
      established_max: 10_001,
      ring_mask: 4095,
      destinations_max: 100,
      services_max: 10,
      processors: 3,
      hash_seed: 0xfedc_ba98_7654_3210n,
      clock_lag: 4_000_000,
      seen_grain: 0,
      test_clock: 0,
    },
    mapSizes: {
      table4: 5501,
      table6: 5501,
      half_open_ring: 4096,
      destinations: 100,
      loads: 100,
      real_servers4: 100,
      real_servers6: 100,
      services: 10,
      services4: 10,
      services6: 10,
      slots: 500,
      traffic: 300,
      tallies: 3,
    },
  });
});

test('every constant of the program is set, and every map that is too small to be used', () => {
  const { constants, mapSizes } = loadSettings(defaultXdpLimits, { processors: 1, clockLagNs: 0, hashSeed: 0n });
  assert.deepEqual(Object.keys(constants).sort(), Object.values(Constants).sort());
  const small = Object.values(Maps).filter(({ maxEntries, kind }) => maxEntries === 1 && kind === 'array');
  assert.deepEqual(
    small.map(({ name }) => name).filter((name) => !(name in mapSizes)),
    [],
  );
});
