// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { namespacesUnavailable } from '../support/namespaces.ts';
import { PairBench, pairConfiguration } from './daemon-bench.ts';

describe('an interface that is deleted and recreated', { skip: namespacesUnavailable() }, () => {
  let bench: PairBench;
  before(async () => {
    bench = new PairBench();
    await Promise.all([bench.startRealServer(0), bench.startRealServer(1)]);
  });
  after(() => bench.remove());

  test('carries the director again: election, ARP, and the connections it had', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 100, sync: false }));
    await a.active();
    const session = bench.session();
    const server = (await session.ask('before')).split(' ')[0]!;
    const [transitions, from] = [(await a.router()).transitions, a.log.length];
    bench.a.ip('link', 'del', 'eth0');
    await a.until('in fault', ({ virtualRouters }) => virtualRouters[0]?.state === 'fault');
    bench.network.join([bench.a, 'eth0'], [bench.hub, 'to-a']);
    bench.hub.ip('link', 'set', 'to-a', 'master', 'switch');
    bench.a.ip('addr', 'add', '10.9.0.2/24', 'dev', 'eth0');
    await a.logged(/^interface eth0 was recreated; the engine forwards on it again$/, from);
    await a.active();
    assert.equal(await session.ask('after'), `${server} after`);
    const other = bench.session();
    assert.match(await other.ask('on'), /^rs[01] on$/);
    // To fault, backup and active: once each.
    assert.equal((await a.router()).transitions, transitions + 3);
  });
});

describe('an address that the interface loses', { skip: namespacesUnavailable() }, () => {
  let bench: PairBench;
  before(() => {
    bench = new PairBench();
  });
  after(() => bench.remove());

  test('with the link up: another one is adopted by election and synchronisation, which goes on where it was', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 150 }));
    await a.active();
    const b = bench.start('b', pairConfiguration({ priority: 100 }));
    await Promise.all([a.inSync(), b.inSync()]);
    const threads = a.log.filter(({ msg }) => msg.startsWith('connection synchronisation is')).length;
    const from = a.log.length;
    bench.a.ip('addr', 'del', '10.9.0.2/24', 'dev', 'eth0');
    await a.logged(/^is now fault: the interface has no address to send from$/, from);
    const warned = await a.until(
      'warned',
      ({ sync }) => sync.warning?.includes('has no address of the family') === true,
    );
    assert.equal(warned.sync.source, undefined);
    await b.active();
    bench.a.ip('addr', 'add', '10.9.0.12/24', 'dev', 'eth0');
    await a.logged(/^connection synchronisation sends from 10\.9\.0\.12 on eth0 now$/, from);
    const { sync } = await a.inSync();
    assert.deepEqual([sync.source, sync.warning], ['10.9.0.12', undefined]);
    await a.active();
    await b.until('in sync with it', (status) => status.sync.peers.some(({ address }) => address === '10.9.0.12'));
    // The thread is the same, so nothing is copied that need not be.
    assert.equal(
      a.log.some(({ msg }) => msg.startsWith('the sync thread failed')),
      false,
    );
    assert.ok(threads > 0);
  });
});
