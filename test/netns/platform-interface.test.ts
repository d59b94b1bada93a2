// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { namespacesUnavailable } from '../support/namespaces.ts';
import { directorAddresses, PairBench, pairConfiguration, realServerAddresses } from './daemon-bench.ts';

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

describe('the route to all real servers that is lost with the link up', { skip: namespacesUnavailable() }, () => {
  let bench: PairBench;
  before(async () => {
    bench = new PairBench();
    await Promise.all([bench.startRealServer(0), bench.startRealServer(1)]);
  });
  afterEach(() => bench.clear());
  after(() => bench.remove());

  const connected = ['10.9.0.0/24', 'dev', 'eth0', 'proto', 'kernel', 'scope', 'link', 'src', directorAddresses.a];

  test('is a fault: the peer takes over with the sessions, and gives them back', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 150 }));
    await a.active();
    const b = bench.start('b', pairConfiguration({ priority: 100 }));
    await Promise.all([a.inSync(), b.inSync()]);
    const session = bench.session();
    const server = (await session.ask('before')).split(' ')[0]!;
    const capture = bench.capture();
    bench.a.ip('route', 'del', ...connected);
    await capture.farewell(directorAddresses.a);
    capture.close();
    await b.active();
    assert.equal(await session.ask('meanwhile'), `${server} meanwhile`);
    const line = await a.logged(/^is now fault/);
    assert.equal(line.msg, 'is now fault: no route leads to any of its real servers');
    assert.deepEqual((await a.router()).faults, ['no route leads to any of its real servers']);
    bench.a.ip('route', 'add', ...connected);
    await a.logged(/^is now backup: a route leads to its real servers again$/);
    await a.active();
    assert.equal(await session.ask('after'), `${server} after`);
    assert.equal((await a.router()).faults, undefined);
  });

  test('fails the checks as well: they are made again at once when it is back', async () => {
    const conf = pairConfiguration({ priority: 150, sync: false, check: true }).replaceAll(
      'delay_loop 0.2',
      'delay_loop 4',
    );
    const a = bench.start('a', conf);
    await a.active();
    await a.logged(/^running$/);
    bench.a.ip('route', 'del', ...connected);
    await a.until('down', ({ services }) => services[0]!.realServers.every(({ alive }) => !alive), 8000);
    bench.a.ip('route', 'add', ...connected);
    await a.until('up again', ({ services }) => services[0]!.realServers.every(({ alive }) => alive), 1000);
    await a.active();
    assert.match(await bench.session().ask('on'), /^rs[01] on$/);
  });

  test('is none while one real server has a route, nor when the route is replaced at once, nor when switched off', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 150, sync: false }));
    await a.active();
    const { transitions } = await a.router();
    for (let i = 0; i < 10; i += 1) {
      bench.a.ip('route', 'del', ...connected);
      bench.a.ip('route', 'add', ...connected);
    }
    bench.a.ip('route', 'add', `${realServerAddresses[1]}/32`, 'dev', 'eth0');
    bench.a.ip('route', 'del', ...connected);
    bench.a.ip('route', 'add', 'unreachable', `${realServerAddresses[0]}/32`);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.equal((await a.router()).transitions, transitions);
    const from = a.log.length;
    bench.a.ip('route', 'replace', 'blackhole', `${realServerAddresses[1]}/32`);
    await a.logged(/^is now fault/, from);
    bench.reload(a, 'a', `${pairConfiguration({ priority: 150, sync: false })}baton {\n track_routes off\n}\n`);
    await a.active();
    bench.a.ip('route', 'del', `${realServerAddresses[0]}/32`);
    bench.a.ip('route', 'del', `${realServerAddresses[1]}/32`);
    bench.a.ip('route', 'add', ...connected);
  });

  test('that is not there when the director starts: in fault at once, never active', async () => {
    bench.a.ip('route', 'del', ...connected);
    const a = bench.start('a', pairConfiguration({ priority: 150, sync: false }));
    await a.running();
    assert.equal((await a.router()).state, 'fault');
    bench.a.ip('route', 'add', ...connected);
    await a.active();
    const states = a.log.map(({ msg }) => /^is now (\w+)/.exec(msg)?.[1]).filter((state) => state !== undefined);
    assert.deepEqual(states, ['fault', 'backup', 'active']);
  });
});
