// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeServices } from '../../../src/director/service-status.ts';
import type { ServiceCounters } from '../../../src/engine/engine.ts';
import { address, service } from './configurations.ts';

const traffic = { connections: 5, packetsIn: 50, bytesIn: 5000, packetsOut: 40, bytesOut: 4000 };
const none = { connections: 0, packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 };
const unseen = { ...none, activeConnections: 0, inactiveConnections: 0 };

test('joins what is configured with what was counted and found alive, in the configured order', () => {
  const configured = [service('192.0.2.10', ['192.0.2.22', '192.0.2.21']), service('192.0.2.11', ['192.0.2.23'])];
  const busy = { ...traffic, port: 80, activeConnections: 3, inactiveConnections: 2 };
  const counted: ServiceCounters[] = [
    { ...traffic, name: 'tcp 203.0.113.1:80', realServers: [] },
    { ...traffic, name: 'tcp 192.0.2.10:80', realServers: [{ ...busy, address: address('192.0.2.21') }] },
  ];
  const asked: string[] = [];
  const described = describeServices(configured, counted, {
    isAlive: (name, realServer) => {
      asked.push(`${name} ${realServer}`);
      return realServer !== '192.0.2.21:80';
    },
    hasQuorum: () => true,
  });
  const server = { port: 80, forwardingMethod: 'direct-route', weight: 1 };
  assert.deepEqual(described, [
    {
      ...traffic,
      name: 'tcp 192.0.2.10:80',
      scheduler: 'rr',
      realServers: [
        { ...server, ...unseen, address: '192.0.2.22', alive: true },
        { ...server, ...busy, address: '192.0.2.21', alive: false },
      ],
    },
    {
      ...none,
      name: 'tcp 192.0.2.11:80',
      scheduler: 'rr',
      realServers: [{ ...server, ...unseen, address: '192.0.2.23', alive: true }],
    },
  ]);
  assert.deepEqual(asked, [
    'tcp 192.0.2.10:80 192.0.2.22:80',
    'tcp 192.0.2.10:80 192.0.2.21:80',
    'tcp 192.0.2.11:80 192.0.2.23:80',
  ]);
});

test('tells of a sorry server with its counters, and of what it does', () => {
  const realServers = service('192.0.2.10', ['192.0.2.21']).realServers;
  const sorryServer = { ...realServers[0]!, address: address('192.0.2.99') };
  const busy = { ...traffic, port: 80, activeConnections: 3, inactiveConnections: 2 };
  const counted = [
    { ...traffic, name: 'tcp 192.0.2.10:80', realServers: [{ ...busy, address: address('192.0.2.99') }] },
  ];
  const described = (hasQuorum: boolean) =>
    describeServices([{ ...service('192.0.2.10', []), realServers, sorryServer }], counted, {
      isAlive: () => hasQuorum,
      hasQuorum: () => hasQuorum,
    })[0]?.sorryServer;
  const expected = { ...busy, address: '192.0.2.99', forwardingMethod: 'direct-route' };
  assert.deepEqual(described(true), { ...expected, serving: false });
  assert.deepEqual(described(false), { ...expected, serving: true });
});
