// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import type { RealServer } from '../../../src/model/virtual-service.ts';
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
