// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { namespacesUnavailable } from '../support/namespaces.ts';
import { type Daemon, directorAddresses, PairBench, type PairOptions, pairConfiguration } from './daemon-bench.ts';

const skip = namespacesUnavailable();

describe('a pair of directors', { skip }, () => {
  let bench: PairBench;
  before(async () => {
    bench = new PairBench();
    await Promise.all([bench.startRealServer(0), bench.startRealServer(1)]);
  });
  afterEach(() => bench.clear());
  after(() => bench.remove());

  /** A active, b its backup with a proven copy. */
  async function startPair(options: Partial<PairOptions> = {}): Promise<{ a: Daemon; b: Daemon }> {
    const a = bench.start('a', pairConfiguration({ priority: 150, ...options }));
    await a.active();
    const b = bench.start('b', pairConfiguration({ priority: 100, ...options }));
    await b.backup();
    if (options.sync !== false) await Promise.all([a.inSync(), b.inSync()]);
    return { a, b };
  }

  test('the vrrp process is killed: priority 0 in its name, the peer takes over, it comes back', async () => {
    const { a, b } = await startPair({ instance: ['nopreempt'] });
    const session = bench.session();
    const server = (await session.ask('before')).split(' ')[0]!;
    const [child] = a.children;
    const capture = bench.capture();
    process.kill(child!, 'SIGKILL');
    await capture.farewell(directorAddresses.a);
    capture.close();
    await b.active();
    assert.equal(await session.ask('after'), `${server} after`);
    const line = await a.logged(/^the vrrp process ended/);
    assert.equal(line.msg, 'the vrrp process ended (SIGKILL); resigned in its name, starting it again');
    await a.backup();
    assert.notDeepEqual(a.children, [child]);
    assert.equal(await session.ask('and on'), `${server} and on`);
    assert.equal((await b.router()).state, 'active');
  });

  test('a vrrp process that dies again and again is started with growing delays', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 150, sync: false }));
    await a.active();
    const delaysMs: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      const from = a.log.length;
      process.kill(a.children[0]!, 'SIGKILL');
      const ended = await a.logged(/^the vrrp process ended \(SIGKILL\)/, from);
      const started = await a.logged(/^is now backup: it has started$/, from);
      delaysMs.push(started.time - ended.time);
    }
    // 50, 100, 200 and 400 ms, and the start of a process each time.
    const grows = delaysMs.every((delayMs, i) => delayMs >= 50 * 2 ** i - 1);
    assert.ok(grows, `started after ${delaysMs.join(', ')} ms:\n${a.story()}`);
  });

  test('the main process stands still: the peer takes over within 1.5 s; it comes back without harm', async () => {
    const { a, b } = await startPair({ instance: ['nopreempt'] });
    const session = bench.session();
    const server = (await session.ask('before')).split(' ')[0]!;
    const stoppedAtMs = performance.now();
    a.signal('SIGSTOP');
    try {
      await b.until('active', ({ virtualRouters }) => virtualRouters[0]?.state === 'active', 1500);
      assert.ok(performance.now() - stoppedAtMs < 1500);
      assert.equal(await session.ask('meanwhile'), `${server} meanwhile`);
    } finally {
      a.signal('SIGCONT');
    }
    await a.logged(/^the engine turns again$/);
    await a.backup();
    await a.inSync();
    assert.equal(await session.ask('afterwards'), `${server} afterwards`);
    assert.equal((await b.router()).state, 'active');
  });

  test('directors with different virtual services log that, and log when it is over', async () => {
    const a = bench.start('a', pairConfiguration({ priority: 150 }));
    const b = bench.start('b', pairConfiguration({ priority: 100, ports: [80, 81] }));
    const sentence = (peer: 'a' | 'b', rest: string): RegExp =>
      new RegExp(`^the virtual services of ${directorAddresses[peer]} ${rest}$`);
    await a.logged(sentence('b', 'differ from those here; compare the two configurations'));
    await b.logged(sentence('a', 'differ from those here; compare the two configurations'));
    bench.reload(b, 'b', pairConfiguration({ priority: 100 }));
    await a.logged(sentence('b', 'are the same as here again'));
    await b.logged(sentence('a', 'are the same as here again'));
  });

  test('the interface of connection synchronisation is recreated: the director goes on and is in sync again', async () => {
    const join = (): void => {
      bench.network.join([bench.a, 'sync0'], [bench.b, 'sync0']);
      bench.a.ip('addr', 'add', '10.7.0.2/24', 'dev', 'sync0');
      bench.b.ip('addr', 'add', '10.7.0.3/24', 'dev', 'sync0');
    };
    join();
    try {
      const { a, b } = await startPair({ sync: 'sync0 web id 7', instance: ['nopreempt'] });
      const session = bench.session();
      const server = (await session.ask('before')).split(' ')[0]!;
      bench.a.ip('link', 'del', 'sync0');
      await a.until('alone', ({ sync }) => sync.state !== 'inSync' || sync.peers.length === 0, 10_000);
      assert.equal(await session.ask('without'), `${server} without`);
      join();
      await Promise.all([a, b].map((daemon) => daemon.until('in sync', inSyncAndHeard, 10_000)));
      a.signal('SIGKILL');
      await b.active();
      assert.equal(await session.ask('after'), `${server} after`);
    } finally {
      bench.a.ip('link', 'del', 'sync0');
    }
  });

  test('a dead real server is taken out and brought back', async () => {
    const servers = [await bench.startRealServer(0, 82), await bench.startRealServer(1, 82)];
    const a = bench.start('a', pairConfiguration({ priority: 150, ports: [82], check: true, sync: false }));
    await a.active();
    const alive = async (): Promise<string> => (await a.realServers()).map((server) => server.alive).join();
    assert.equal(await alive(), 'true,true');
    servers[1]!.kill('SIGKILL');
    await a.logged(/^real server 10\.9\.0\.22:82 is down$/);
    assert.equal(await alive(), 'true,false');
    const answers = new Set<string>();
    for (let i = 0; i < 4; i += 1) answers.add(await bench.session(82).ask('who'));
    assert.deepEqual([...answers], ['rs0 who']);
    await bench.startRealServer(1, 82);
    await a.logged(/^real server 10\.9\.0\.22:82 is up$/);
    assert.equal(await alive(), 'true,true');
    for (let i = 0; i < 2; i += 1) answers.add(await bench.session(82).ask('who'));
    assert.deepEqual([...answers].sort(), ['rs0 who', 'rs1 who']);
  });
});

function inSyncAndHeard({ sync }: Awaited<ReturnType<Daemon['status']>>): boolean {
  return sync.state === 'inSync' && sync.peers.length > 0 && sync.peers.every(({ lastHeardMs }) => lastHeardMs < 500);
}
