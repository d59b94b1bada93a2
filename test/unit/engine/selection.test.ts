// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Destinations } from '../../../src/engine/portable/destinations.ts';
import type { RunningService } from '../../../src/engine/portable/running-service.ts';
import { selectDestination } from '../../../src/engine/portable/selection.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { compileService } from '../../../src/scheduler/compile.ts';

interface Server {
  readonly weight: number;
  readonly active: number;
  readonly inactive: number;
}

const countMax = 2 ** 27;
const count = fc.oneof(fc.nat(4), fc.integer({ min: countMax - 4, max: countMax }), fc.nat(countMax));
const weight = fc.oneof(fc.nat(4), fc.integer({ min: 65_530, max: 65_535 }), fc.nat(65_535));
const servers: fc.Arbitrary<Server[]> = fc.array(fc.record({ weight, active: count, inactive: count }), {
  maxLength: 6,
});

function chosen(name: 'lc' | 'wlc', given: readonly Server[]): number {
  const compiled = compileService({
    address: '192.0.2.1' as IpAddress,
    port: 80,
    protocol: 'tcp',
    scheduler: { name, hashPort: false, fallback: false },
    realServers: given.map((server, i) => ({
      address: `198.51.100.${i}` as IpAddress,
      port: 8080,
      weight: server.weight,
      forwardingMethod: 'masquerade',
    })),
  });
  const destinations = new Destinations();
  for (const [i, { active, inactive }] of given.entries()) {
    destinations.active[i] = active;
    destinations.inactive[i] = inactive;
  }
  const service: RunningService = {
    name: 'tcp 192.0.2.1:80',
    compiled,
    leaseSlot: 0,
    destinations: Int32Array.from(given.keys()),
    available: new Uint8Array(given.length).fill(1),
    addressWords: new Int32Array(4),
    cursor: 0,
    retiredTraffic: new Float64Array(5),
  };
  return selectDestination(service, destinations, new Int32Array(16), 0);
}

/** The loop of ip_vs_lc.c, and with `weighted` of ip_vs_wlc.c, in integers that do not end. */
function inIpvs(weighted: boolean, given: readonly Server[]): number {
  let least = -1;
  let leastOverhead = 0n;
  for (const [i, { weight, active, inactive }] of given.entries()) {
    if (weight === 0) continue;
    const overhead = BigInt(active) * 256n + BigInt(inactive);
    const [own, other] = weighted && least >= 0 ? [BigInt(given[least]!.weight), BigInt(weight)] : [1n, 1n];
    if (least >= 0 && leastOverhead * other <= overhead * own) continue;
    [least, leastOverhead] = [i, overhead];
  }
  return least;
}

test('lc and wlc choose as IPVS does, ties and large counts included', () => {
  fc.assert(
    fc.property(fc.constantFrom('lc' as const, 'wlc' as const), servers, (name, given) => {
      assert.equal(chosen(name, given), inIpvs(name === 'wlc', given));
    }),
    { numRuns: 2000 },
  );
});
