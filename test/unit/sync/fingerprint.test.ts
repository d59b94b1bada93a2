// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import type { CheckedRealServer, ConfiguredService } from '../../../src/model/configuration.ts';
import type { Persistence, RealServer, Scheduler } from '../../../src/model/virtual-service.ts';
import { type FingerprintedService, fingerprintServices } from '../../../sync/fingerprint.ts';

const server: RealServer = {
  address: '10.0.0.1' as IpAddress,
  port: 80,
  weight: 1,
  forwardingMethod: 'masquerade',
};

const plain: FingerprintedService = {
  address: '192.0.2.10' as IpAddress,
  port: 80,
  protocol: 'udp',
  scheduler: { name: 'rr', hashPort: false, fallback: false },
  realServers: [server],
};

test('all that decides where clients go changes the fingerprint', () => {
  const variants: readonly FingerprintedService[] = [
    plain,
    { ...plain, protocol: 'tcp' },
    { ...plain, onePacket: true },
    { ...plain, persistence: { timeoutMs: 360_000, prefixLength: 32 } },
    { ...plain, persistence: { timeoutMs: 360_000, prefixLength: 24 } },
    { ...plain, persistence: { timeoutMs: 50_000, prefixLength: 32 } },
    { ...plain, realServers: [{ ...server, upperThreshold: 10 }] },
    { ...plain, realServers: [{ ...server, upperThreshold: 10, lowerThreshold: 5 }] },
    { ...plain, realServers: [server, { ...server, port: 81 }] },
    { ...plain, sorryServer: { ...server, port: 81 } },
    { ...plain, sorryServer: { ...server, port: 81, forwardingMethod: 'direct-route' } },
    { ...plain, sorryServer: { ...server, port: 81 }, quorum: 2 },
    { ...plain, sorryServer: { ...server, port: 81 }, quorum: 2, hysteresis: 1 },
  ];
  assert.equal(new Set(variants.map((variant) => fingerprintServices([variant]))).size, variants.length);
});

test('what a service does not use does not change it', () => {
  const print = fingerprintServices([plain]);
  assert.equal(fingerprintServices([{ ...plain, onePacket: false, quorum: 2 }]), print);
  assert.equal(fingerprintServices([{ ...plain, realServers: [{ ...server, upperThreshold: 0 }] }]), print);
});

/** Another value for a field that decides where clients go, beside what makes the field count. Undefined: it does not. */
type Decisions<Model> = { readonly [Field in keyof Required<Model>]: readonly [base: Model, other: Model] | undefined };

const persistence: Persistence = { timeoutMs: 360_000, prefixLength: 32 };
const sorry: ConfiguredService = { ...plain, realServers: [], sorryServer: { ...server, port: 81 } };
const limited: RealServer = { ...server, upperThreshold: 10 };
const simple: ConfiguredService = { ...plain, realServers: [{ ...server, checks: [] }] };

/** The compiler refuses a model with a field that is not decided upon here. */
const serviceDecisions: Decisions<ConfiguredService> = {
  address: [simple, { ...simple, address: '192.0.2.11' as IpAddress }],
  port: [simple, { ...simple, port: 81 }],
  protocol: [simple, { ...simple, protocol: 'tcp' }],
  scheduler: [simple, { ...simple, scheduler: { ...simple.scheduler, name: 'wrr' } }],
  persistence: [simple, { ...simple, persistence }],
  onePacket: [simple, { ...simple, onePacket: true }],
  realServers: [simple, { ...simple, realServers: [] }],
  sorryServer: [simple, { ...simple, sorryServer: { ...server, port: 81 } }],
  quorum: [sorry, { ...sorry, quorum: 2 }],
  hysteresis: [sorry, { ...sorry, hysteresis: 1 }],
};
const schedulerDecisions: Decisions<Scheduler> = {
  name: [plain.scheduler, { ...plain.scheduler, name: 'sh' }],
  hashPort: [plain.scheduler, { ...plain.scheduler, hashPort: true }],
  fallback: [plain.scheduler, { ...plain.scheduler, fallback: true }],
};
const persistenceDecisions: Decisions<Persistence> = {
  timeoutMs: [persistence, { ...persistence, timeoutMs: 1_000 }],
  prefixLength: [persistence, { ...persistence, prefixLength: 24 }],
};
const realServerDecisions: Decisions<RealServer> = {
  address: [server, { ...server, address: '10.0.0.2' as IpAddress }],
  port: [server, { ...server, port: 81 }],
  weight: [server, { ...server, weight: 2 }],
  forwardingMethod: [server, { ...server, forwardingMethod: 'direct-route' }],
  upperThreshold: [server, limited],
  lowerThreshold: [limited, { ...limited, lowerThreshold: 5 }],
  connectionRateMax: [server, { ...server, connectionRateMax: 100 }],
};
const checkDecisions: Decisions<Omit<CheckedRealServer, keyof RealServer>> = {
  // Each director finds out by itself which real servers live; how it does so sends nobody elsewhere.
  checks: undefined,
  // It decides whether the connections of a failed real server are taken over.
  inhibitOnFailure: [{ checks: [] }, { checks: [], inhibitOnFailure: true }],
};

test('each field of the model that decides where clients go changes the fingerprint', () => {
  const services: Readonly<Record<string, readonly [ConfiguredService, ConfiguredService] | undefined>> = {
    ...within('service', serviceDecisions, (service) => service),
    ...within('scheduler', schedulerDecisions, (scheduler) => ({ ...simple, scheduler })),
    ...within('persistence', persistenceDecisions, (one) => ({ ...simple, persistence: one })),
    ...within('real server', realServerDecisions, (one) => ({ ...simple, realServers: [{ ...one, checks: [] }] })),
    ...within('checked real server', checkDecisions, (one) => ({ ...simple, realServers: [{ ...server, ...one }] })),
    ...within('sorry server', realServerDecisions, (one) => ({ ...simple, sorryServer: one })),
  };
  const overlooked = Object.entries(services).filter(([, pair]) => {
    return pair !== undefined && fingerprintServices([pair[0]]) === fingerprintServices([pair[1]]);
  });
  assert.deepEqual(
    overlooked.map(([field]) => field),
    [],
  );
});

test('the fingerprint of a service is the same in every version of baton', () => {
  const everything: FingerprintedService = {
    ...plain,
    onePacket: true,
    persistence: { timeoutMs: 1_000, prefixLength: 24 },
    realServers: [{ ...server, upperThreshold: 10, lowerThreshold: 5 }],
    sorryServer: { ...server, port: 81 },
    quorum: 2,
    hysteresis: 1,
  };
  assert.equal(fingerprintServices([plain]), 'db0ab5c1f498c53e');
  assert.equal(fingerprintServices([everything]), 'd8ecc0c3cf3681b3');
});

/** The pairs of services that differ in one field of a part, by the field. */
function within<Model extends object>(
  part: string,
  decisions: Decisions<Model>,
  serviceWith: (model: Model) => ConfiguredService,
): Record<string, readonly [ConfiguredService, ConfiguredService] | undefined> {
  const pairs = Object.entries(decisions) as [string, readonly [Model, Model] | undefined][];
  return Object.fromEntries(
    pairs.map(([field, pair]) => [
      `${field} of a ${part}`,
      pair === undefined ? undefined : [serviceWith(pair[0]), serviceWith(pair[1])],
    ]),
  );
}
