// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { namespacesUnavailable } from '../support/namespaces.ts';
import { type Daemon, PairBench, pairConfiguration, realServerAddresses } from './daemon-bench.ts';

const skip = namespacesUnavailable();
const applied = /^reloaded the configuration$/;
const refused = /^the configuration was not reloaded and the running one stays: /;

describe('SIGHUP', { skip }, () => {
  let bench: PairBench;
  before(async () => {
    bench = new PairBench();
    await Promise.all([
      bench.startRealServer(0),
      bench.startRealServer(1),
      bench.startRealServer(0, 81),
      bench.startRealServer(1, 81),
    ]);
  });
  afterEach(() => bench.clear());
  after(() => bench.remove());

  const weightsOf = async (daemon: Daemon): Promise<string> =>
    (await daemon.realServers()).map(({ address, weight }) => `${address} ${weight}`).join(', ');

  test('with a file that has errors changes nothing and logs every problem with its place', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 100 }));
    await a.active();
    const before = await a.status();
    const from = bench.reload(a, 'a', 'vrrp_instance web {\n interface eth0\n virtual_router_id 300\n colour red\n}\n');
    const line = await a.logged(refused, from);
    assert.equal(line.msg, 'the configuration was not reloaded and the running one stays: it has errors');
    const file = `${bench.workplace.path}/a.conf`;
    assert.deepEqual(
      a.log
        .slice(from)
        .filter(({ level }) => level > 30)
        .map(({ level, msg }) => `${level} ${msg.replace(/(: error): .*/, '$1')}`),
      [`50 ${file}:1:15: error`, `50 ${file}:3:20: error`, `50 ${file}:4:2: error`, `50 ${line.msg}`],
    );
    const session = bench.session();
    assert.match(await session.ask('on'), /^rs[01] on$/);
    const status = await a.status();
    assert.deepEqual(status.services[0]!.name, before.services[0]!.name);
    assert.equal(status.virtualRouters[0]!.state, 'active');
  });

  test('with a file without a virtual router or virtual service changes nothing', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 100 }));
    await a.active();
    const session = bench.session();
    const server = (await session.ask('before')).split(' ')[0]!;
    for (const text of ['', '# everything is commented out\n', 'global_defs {\n router_id a\n}\n']) {
      const from = bench.reload(a, 'a', text);
      const { msg } = await a.logged(refused, from);
      assert.equal(
        msg,
        'the configuration was not reloaded and the running one stays: it has neither a vrrp_instance nor a ' +
          'virtual_server, so every address would be given up; write one, or stop the director to give them up',
      );
    }
    assert.equal(await session.ask('after'), `${server} after`);
    const { state, transitions } = await a.router();
    assert.deepEqual({ state, transitions }, { state: 'active', transitions: 2 });
  });

  test('with a configuration that cannot be applied on this host puts the former one back', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 100 }));
    await a.active();
    const session = bench.session();
    const server = (await session.ask('before')).split(' ')[0]!;
    for (const [bad, sentence] of [
      [{ sync: 'eth7 web id 7', weights: [5, 5] }, 'there is no interface eth7; create it, or correct the name'],
      [{ realServers: ['10.9.0.2'] }, 'real_server 10.9.0.2 is an address of this director itself (eth0)'],
    ] as const) {
      const from = bench.reload(a, 'a', pairConfiguration({ priority: 120, ...bad }));
      const { msg } = await a.logged(refused, from);
      assert.ok(msg.includes(sentence), msg);
      assert.equal(await weightsOf(a), '10.9.0.21 1, 10.9.0.22 1');
      assert.equal((await a.router()).priority, 100);
    }
    await a.until('alone again', ({ sync }) => sync.state === 'alone');
    assert.equal(await session.ask('after'), `${server} after`);
  });

  test('applies weights, priority and a further real server; an established connection is unharmed', async () => {
    const [first] = realServerAddresses;
    const a = bench.start('a', pairConfiguration({ priority: 100, realServers: [first] }));
    await a.active();
    const session = bench.session();
    assert.equal(await session.ask('before'), 'rs0 before');
    const from = bench.reload(a, 'a', pairConfiguration({ priority: 120, weights: [0, 3], scheduler: 'wrr' }));
    await a.logged(applied, from);
    assert.equal(await weightsOf(a), '10.9.0.21 0, 10.9.0.22 3');
    const { state, priority, transitions } = await a.router();
    assert.deepEqual({ state, priority, transitions }, { state: 'active', priority: 120, transitions: 2 });
    assert.equal(await session.ask('after'), 'rs0 after');
    assert.equal(await bench.session().ask('elsewhere'), 'rs1 elsewhere');
  });

  test('that removes a virtual_server leaves the other one and its connections alone', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 100, ports: [80, 81] }));
    await a.active();
    const kept = bench.session(80);
    const server = (await kept.ask('before')).split(' ')[0]!;
    assert.match(await bench.session(81).ask('there'), /^rs[01] there$/);
    const from = bench.reload(a, 'a', pairConfiguration({ priority: 100, ports: [80] }));
    await a.logged(applied, from);
    assert.deepEqual(
      (await a.status()).services.map(({ name }) => name),
      ['tcp 10.9.0.10:80'],
    );
    assert.equal(await kept.ask('after'), `${server} after`);
  });

  test('of a backup: it stays one, and serves the changed configuration when it takes over', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 150 }));
    await a.active();
    const b = bench.start('b', pairConfiguration({ priority: 100 }));
    await b.backup();
    await Promise.all([a.inSync(), b.inSync()]);
    const session = bench.session();
    const server = (await session.ask('before')).split(' ')[0]!;
    const from = bench.reload(b, 'b', pairConfiguration({ priority: 110, weights: [1, 2] }));
    await b.logged(applied, from);
    const { state, priority } = await b.router();
    assert.deepEqual({ state, priority }, { state: 'backup', priority: 110 });
    await a.kill();
    await b.active();
    assert.equal(await session.ask('after'), `${server} after`);
    assert.equal(await weightsOf(b), '10.9.0.21 1, 10.9.0.22 2');
  });

  test('that arrives while the director starts is handled after the start', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 100 }));
    // The director handles signals before it takes the lock.
    await a.runDirectoryTaken();
    a.signal('SIGHUP');
    await a.logged(applied);
    await a.active();
  });
});
