// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfiguration } from '../../../src/config/load.ts';
import { renderConfiguration } from '../../../src/drill/lab/configuration.ts';
import { describeTopology, type LabForwarding } from '../../../src/drill/lab/topology.ts';
import { accept } from '../../../src/lib/result.ts';

for (const { forwarding, addresses, servers } of [
  {
    forwarding: 'direct-route',
    addresses: ['198.51.100.100/24 front'],
    servers: ['198.51.100.21', '198.51.100.22'],
  },
  {
    forwarding: 'masquerade',
    addresses: ['198.51.100.100/24 front', '10.77.0.1/24 back'],
    servers: ['10.77.0.21', '10.77.0.22'],
  },
] as const) {
  test(`the directors' configuration for ${forwarding} loads without a word and means what the lab is`, () => {
    const configuration = load(forwarding, 'b');
    const [router] = configuration.virtualRouters;
    assert.equal(router?.priority, 100);
    assert.equal(router?.advertIntervalMs, 50);
    assert.deepEqual(
      router?.addresses.map((held) => `${held.address}/${held.prefixLength} ${held.interface}`),
      addresses,
    );
    assert.equal(configuration.sync?.interface, 'front');
    const [sessions, probes] = configuration.services;
    assert.deepEqual(
      sessions?.realServers.map(({ address, checks }) => [address, checks.length]),
      servers.map((address) => [address, 1]),
    );
    assert.deepEqual(
      probes?.realServers.map(({ address, checks }) => [address, checks.length]),
      servers.map((address) => [address, 0]),
    );
    assert.ok(
      configuration.services.every((service) =>
        service.realServers.every((server) => server.forwardingMethod === forwarding),
      ),
    );
  });
}

test('where a real server is to die, two services of their own have it, and one check decides about both', () => {
  assert.equal(load('masquerade', 'a').services.length, 4);
  const mortal = load('masquerade', 'a', ['server-death']).services.slice(4);
  assert.deepEqual(
    mortal.map(({ port, protocol }) => `${protocol} ${port}`),
    ['tcp 7004', 'udp 7005'],
  );
  for (const { realServers } of mortal) {
    assert.deepEqual(
      realServers.map(({ address, checks }) => [address, checks.length]),
      [
        ['10.77.0.21', 1],
        ['10.77.0.23', 1],
      ],
    );
  }
});

test('the directors defer new connections when they are to', () => {
  assert.equal(load('masquerade', 'a').sync?.defer, undefined);
  assert.equal(load('masquerade', 'a', [], true).sync?.defer, true);
});

function load(forwarding: LabForwarding, director: 'a' | 'b', scenarios: readonly string[] = [], defer = false) {
  const text = renderConfiguration(describeTopology(forwarding, 2), director, {
    family: 'ipv4',
    advertIntervalMs: 50,
    sync: true,
    defer,
    flows: 1,
    openingRate: 500,
    addresses: 1,
    scenarios,
  });
  const files = { readFile: () => accept(Buffer.from(text)), listDirectory: () => undefined };
  const loaded = loadConfiguration('/lab/keepalived.conf', { files, hostname: 'lab' });
  assert.deepEqual(loaded.diagnostics, []);
  assert.ok(loaded.configuration);
  return loaded.configuration;
}
