// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { poolInEffect } from '../../../src/director/pool.ts';
import type { ConfiguredService } from '../../../src/model/configuration.ts';
import { compileService } from '../../../src/scheduler/compile.ts';
import { address, realServer, serviceOf } from './configurations.ts';

const sorryServer = { address: address('10.0.0.9'), port: 80, weight: 1, forwardingMethod: 'masquerade' } as const;

/** Each real server as `address weight`, with a star when it may be chosen; then those that a scheduler deals to. */
function pool(service: ConfiguredService, dead: readonly string[], hasQuorum: boolean): string {
  const health = { isAlive: (name: string) => !dead.some((address) => name.startsWith(`${address}:`)), hasQuorum };
  const { service: effective, isAvailable } = poolInEffect(service, health);
  const members = effective.realServers.map(
    ({ address, weight }, index) => `${address} ${weight}${isAvailable(index) ? '*' : ''}`,
  );
  const { selector } = compileService(effective, isAvailable);
  const dealt = selector.shape === 'sequence' ? [...selector.slots] : [];
  return `${members.join(', ')} => ${dealt.map((index) => effective.realServers[index]?.address).join(', ')}`;
}

describe('the pool in effect', () => {
  const plain = serviceOf();
  const withSorry = serviceOf({ sorryServer });
  const itself = { ...sorryServer, address: address('10.0.0.2'), port: 8080 };
  const inhibited = serviceOf({
    realServers: [realServer('10.0.0.1', { inhibitOnFailure: true }), realServer('10.0.0.2')],
  });
  const cases: readonly [string, ConfiguredService, readonly string[], boolean, string][] = [
    ['all alive', plain, [], true, '10.0.0.1 1*, 10.0.0.2 1* => 10.0.0.1, 10.0.0.2'],
    ['one dead', plain, ['10.0.0.1'], true, '10.0.0.1 1, 10.0.0.2 1* => 10.0.0.2'],
    ['no quorum and no sorry server', plain, ['10.0.0.1'], false, '10.0.0.1 1, 10.0.0.2 1* => 10.0.0.2'],
    [
      'a sorry server that is not needed',
      withSorry,
      ['10.0.0.1'],
      true,
      '10.0.0.1 1, 10.0.0.2 1*, 10.0.0.9 1 => 10.0.0.2',
    ],
    [
      'a sorry server that is',
      withSorry,
      ['10.0.0.1', '10.0.0.2'],
      false,
      '10.0.0.1 1, 10.0.0.2 1, 10.0.0.9 1* => 10.0.0.9',
    ],
    ['a sorry server serves alone', withSorry, ['10.0.0.1'], false, '10.0.0.1 1, 10.0.0.2 1, 10.0.0.9 1* => 10.0.0.9'],
    [
      'a sorry server that is a real server, as such',
      serviceOf({ sorryServer: itself }),
      [],
      true,
      '10.0.0.1 1*, 10.0.0.2 1* => 10.0.0.1, 10.0.0.2',
    ],
    [
      'a sorry server that is a real server, without quorum, though quiesced and dead',
      serviceOf({ sorryServer: itself, realServers: [realServer('10.0.0.1'), realServer('10.0.0.2', { weight: 0 })] }),
      ['10.0.0.2'],
      false,
      '10.0.0.1 1, 10.0.0.2 1* => 10.0.0.2',
    ],
    ['inhibit_on_failure', inhibited, ['10.0.0.1'], true, '10.0.0.1 0*, 10.0.0.2 1* => 10.0.0.2'],
    ['inhibit_on_failure, alive', inhibited, [], true, '10.0.0.1 1*, 10.0.0.2 1* => 10.0.0.1, 10.0.0.2'],
  ];
  for (const [name, service, dead, hasQuorum, expected] of cases) {
    it(name, () => assert.equal(pool(service, dead, hasQuorum), expected));
  }
  it('keeps what the engine works with', () => {
    const service = serviceOf({
      protocol: 'udp',
      persistence: { timeoutMs: 1, prefixLength: 24 },
      onePacket: true,
      realServers: [realServer('10.0.0.1', { upperThreshold: 9, lowerThreshold: 5 })],
    });
    const { service: effective } = poolInEffect(service, { isAlive: () => true, hasQuorum: true });
    assert.deepEqual(effective, service);
  });
});
