// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PortableEngine } from '../../../src/engine/portable/portable-engine.ts';
import { arpFrame, echoFrame, tcpFrame } from '../../contract/frames.ts';
import { configurationOf } from '../../contract/scene.ts';
import { MemoryPort } from '../../support/memory-port.ts';

function engineOn(
  clients: MemoryPort,
  servers: MemoryPort,
  clock = { nowMs: 5000, leaseMs: Number.POSITIVE_INFINITY },
): PortableEngine {
  const hop = { state: 'resolved', port: servers, macAddress: new Uint8Array(6) } as const;
  const engine = new PortableEngine({
    ports: [clients, servers],
    resolver: { resolve: () => hop, update: () => false },
    leases: { validUntilMs: () => clock.leaseMs },
    nowMs: () => clock.nowMs,
    limits: { halfOpenMax: 600, establishedMax: 600 },
  });
  engine.configure({ ...configurationOf(), gracePeriodMs: 0 });
  return engine;
}

test('what a full transmit queue refuses is counted, whatever it was', () => {
  const frames: [string, Uint8Array][] = [
    ['a forwarded packet', tcpFrame()],
    ['a reset', tcpFrame({ flags: 'A' })],
    ['an ICMP error', tcpFrame({ ttl: 1 })],
    ['an echo reply', echoFrame()],
    ['an ARP reply', arpFrame(1, '192.0.2.9', '192.0.2.80')],
  ];
  for (const [what, frame] of frames) {
    const ports = [new MemoryPort('clients', 1), new MemoryPort('servers', 2)] as const;
    const engine = engineOn(...ports);
    for (const port of ports) port.queueMax = 0;
    ports[0].deliver(frame);
    engine.processBatch();
    const { drops, resetsSent, echoReplies, arpReplies, unreachablesSent } = engine.counters();
    assert.equal(drops.transmitFailed, 1, what);
    assert.deepEqual([resetsSent, echoReplies, arpReplies, unreachablesSent], [0, 0, 0, 0], what);
  }
});

test('what the ports count is in the drops', () => {
  const clients = new MemoryPort('clients', 1);
  const engine = engineOn(clients, new MemoryPort('servers', 2));
  Object.assign(clients.counters, { truncated: 1, vlanTagged: 2, receiveOverrun: 3 });
  const { truncated, vlanTagged, receiveOverrun } = engine.counters().drops;
  assert.deepEqual([truncated, vlanTagged, receiveOverrun], [1, 2, 3]);
});

test('a port with more waiting than a batch takes does not starve the other', () => {
  const clients = new MemoryPort('clients', 1);
  const servers = new MemoryPort('servers', 2);
  const engine = engineOn(clients, servers);
  for (let port = 1; port <= 500; port += 1) clients.deliver(tcpFrame({ sourcePort: port }));
  assert.equal(engine.processBatch(), 256);
  assert.equal(engine.processBatch(), 244);
  assert.equal(servers.taken().length, 500);
  assert.equal(engine.counters().halfOpenConnections, 500);
});

test('a process frozen while it sends on one port sends nothing on the other', () => {
  const clock = { nowMs: 5000, leaseMs: 5300 };
  const clients = new (class extends MemoryPort {
    override flush(): number {
      const refused = super.flush();
      clock.nowMs += 3000;
      return refused;
    }
  })('clients', 1);
  const servers = new MemoryPort('servers', 2);
  const engine = engineOn(clients, servers, clock);
  clients.deliver(echoFrame());
  clients.deliver(tcpFrame());
  engine.processBatch();
  assert.equal(clients.taken().length, 1, 'sent before the process stood still');
  assert.equal(servers.taken().length, 0);
  assert.equal(engine.counters().drops.noLease, 1);
});
