// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { attachXdp } from '../../src/platform/linux/bpf/attachment.ts';
import { loadPassProgram } from '../../src/platform/linux/bpf/pass-program.ts';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import { interfaceFacts } from '../../src/platform/linux/netlink/interface-facts.ts';
import { namespacesUnavailable } from '../support/namespaces.ts';
import { stopThread, threadOf } from '../support/stopped-thread.ts';
import { Daemon, PairBench, type PairOptions, pairConfiguration } from './daemon-bench.ts';

// Each process and thread of a director is stopped alone, in each role, and what docs/architecture.md promises follows.

const usability = probeXdp();
const engines = ['portable', 'xdp'] as const;
let directories = 0;

for (const engine of engines) {
  const skip = namespacesUnavailable() || (engine === 'xdp' && !usability.usable ? usability.reason : false);
  describe(`what hangs is noticed, ${engine}`, { skip }, () => {
    let bench: PairBench;
    const daemons: Daemon[] = [];
    let continueThread: (() => void) | undefined;

    before(async () => {
      bench = new PairBench();
      for (const port of ['to-a', 'to-b']) {
        bench.hub.enter(() => attachXdp({ fd: loadPassProgram() }, interfaceFacts(port).index));
      }
      for (const host of [bench.client, ...bench.realServers]) host.run('ethtool', '-K', 'eth0', 'tx', 'off');
      await Promise.all([bench.startRealServer(0), bench.startRealServer(1)]);
    });
    afterEach(async () => {
      continueThread?.();
      continueThread = undefined;
      await Promise.all(daemons.splice(0).map((daemon) => daemon.kill()));
      await bench.clear();
    });
    after(() => bench.remove());

    function start(name: 'a' | 'b', options: PairOptions): Daemon {
      const file = bench.workplace.write(`${name}.conf`, pairConfiguration(options));
      const directory = bench.workplace.directory(`${engine}-${name}${directories++}`);
      const daemon = new Daemon(bench[name], directory, ['run', '-f', file, '--engine', engine]);
      daemons.push(daemon);
      return daemon;
    }

    /** A active, b its backup with a proven copy. */
    async function startPair(): Promise<{ a: Daemon; b: Daemon }> {
      const a = start('a', { priority: 150, instance: ['nopreempt'] });
      await a.active();
      const b = start('b', { priority: 100, instance: ['nopreempt'] });
      await b.backup();
      await Promise.all([a.inSync(), b.inSync()]);
      return { a, b };
    }

    const takesOver = (daemon: Daemon, withinMs: number): Promise<unknown> =>
      daemon.until('active', ({ virtualRouters }) => virtualRouters[0]?.state === 'active', withinMs);
    const isActive = async (daemon: Daemon): Promise<boolean> => (await daemon.router()).state === 'active';
    const transitions = (daemon: Daemon): number => daemon.log.filter(({ msg }) => /^is now /.test(msg)).length;

    for (const [what, thread, withinMs] of [
      ['the whole director process', 'all', 1_200],
      ['the sync thread', 'baton-sync', 1_200],
      engine === 'portable'
        ? ['the engine thread', 'baton-engine', 1_200]
        : ['the event loop of the director', undefined, 6_500],
    ] as [what: string, thread: string | undefined, withinMs: number][]) {
      test(`${what} stands still: the peer takes over, and it comes back as a backup`, async () => {
        const { a, b } = await startPair();
        const session = bench.session();
        const server = (await session.ask('before')).split(' ')[0]!;
        if (thread === 'all') {
          a.signal('SIGSTOP');
          continueThread = () => a.signal('SIGCONT');
        } else continueThread = await stopThread(threadOf(a.pid, thread));
        await takesOver(b, withinMs);
        assert.equal(await session.ask('meanwhile'), `${server} meanwhile`);
        continueThread();
        continueThread = undefined;
        await a.backup();
        await a.inSync();
        // Until its hold has ended.
        if (thread === 'all') await setTimeout(2_500);
        assert.equal(await session.ask('afterwards'), `${server} afterwards`);
        assert.deepEqual([await isActive(a), await isActive(b)], [false, true]);
      });
    }

    if (engine === 'xdp') {
      test('the vrrp process stands still: its lease runs out, the peer takes over', async () => {
        const { a, b } = await startPair();
        const [child] = a.children;
        process.kill(child!, 'SIGSTOP');
        continueThread = () => void process.kill(child!, 'SIGCONT');
        await takesOver(b, 1_500);
        continueThread();
        continueThread = undefined;
        await a.backup();
        assert.equal(await isActive(b), true);
      });
    } else {
      test('a director that is slow, not stopped, keeps its role', async () => {
        const { a, b } = await startPair();
        const before = [transitions(a), transitions(b)];
        for (let i = 0; i < 8; i += 1) {
          a.signal('SIGSTOP');
          await setTimeout(150);
          a.signal('SIGCONT');
          await setTimeout(150);
        }
        assert.deepEqual([transitions(a), transitions(b)], before);
        assert.equal(await isActive(a), true);
      });
    }

    test('a backup that hangs changes nothing, and takes over all the same when the active director is gone', async () => {
      const { a, b } = await startPair();
      const [before] = [transitions(a)];
      continueThread = await stopThread(threadOf(b.pid, 'baton-sync'));
      await b.logged(/^the sync thread stands still$/);
      await setTimeout(300);
      assert.deepEqual([transitions(a), await isActive(a)], [before, true]);
      // Its status would wait for the sync thread.
      const from = b.log.length;
      await a.kill();
      await b.logged(/^is now active/, from, 1_500);
      await setTimeout(1_000);
      assert.equal(transitions(b), 2, b.story());
    });

    if (engine === 'xdp') {
      test('a director that hangs alone stays active, and opens connections', async () => {
        const a = start('a', { priority: 150 });
        await a.active();
        await a.until('alone', ({ sync }) => sync.state === 'alone');
        a.signal('SIGSTOP');
        continueThread = () => a.signal('SIGCONT');
        await setTimeout(1_500);
        const session = bench.session();
        await session.ask('meanwhile');
        continueThread();
        continueThread = undefined;
        await a.logged(/^nobody is there to take over/);
        assert.equal(transitions(a), 2, a.story());
        assert.equal(await isActive(a), true);
      });
    }
  });
}
