// SPDX-License-Identifier: Apache-2.0
import { monotonicMs } from '../director.ts';
import { hasAllRealServers, isActive, isBackupInSync, readyTimeoutMs } from '../health.ts';
import type { Scenario, Stage } from '../stage.ts';

// Planned operations on a pair: handover, reload and start.

const terminateTimeoutMs = 5_000;
const openTimeoutMs = 10_000;
const closeTimeoutMs = 5_000;
/** Sessions opened through the changed configuration, as a share of all. */
const newShare = 0.1;

export const handover: Scenario = {
  from: 'a',
  to: 'b',
  run: (stage) => handOver(stage, 'a', 'b'),
};

export const reload: Scenario = {
  from: 'a',
  to: 'a',
  run: async (stage) => {
    const { pair, options, note, say } = stage;
    const { a, b } = pair.directors;
    const before = (await a.await('ready', hasAllRealServers, readyTimeoutMs)).services[0]!.realServers;
    // A second reload turns the weights round; taking a real server out would end its sessions, rightly.
    const weights = before.length > 2 && before[0]!.weight === 2 ? [1, 2, 1] : [2, 1, 1];
    const hasTaken = ({ services }: Parameters<typeof hasAllRealServers>[0]): boolean =>
      services[0]?.realServers.map(({ weight }) => weight).join() === weights.join();
    for (const director of [a, b]) {
      const what = `SIGHUP to director ${director.name}: weights ${weights.join(', ')}`;
      say(what);
      note(what, director.reload(weights));
      await director.await('in possession of its changed configuration', hasTaken, readyTimeoutMs);
    }
    await a.await('sure of its real servers', hasAllRealServers, readyTimeoutMs);
    await b.await('a backup in sync', isBackupInSync, readyTimeoutMs);
    const extra = Math.max(pair.topology.realServers.length * 2, Math.ceil(options.sessions * newShare));
    await pair.client.call('open', extra, openTimeoutMs);
    note(`${extra} more sessions opened`);
    const added = (await a.await('ready', isActive, readyTimeoutMs)).services[0]!.realServers[2];
    const taken = added === undefined ? 0 : added.activeConnections;
    if (taken === 0) stage.fail('the added real server got no session');
    else stage.tell(`the added real server has ${taken} sessions`);
  },
};

export const coldStart: Scenario = {
  from: 'a',
  to: 'a',
  prepare: async (stage) => {
    const { client, directors } = stage.pair;
    const living = await client.call<number>('mark');
    const inOrder = await client.call<number>('close', closeTimeoutMs);
    if (inOrder < living) stage.fail(`${living - inOrder} of ${living} sessions could not be closed in order`);
    for (const director of Object.values(directors)) {
      const code = await director.terminate(terminateTimeoutMs);
      if (code !== 0) stage.fail(`director ${director.name} did not exit with 0 after SIGTERM (${code ?? 'killed'})`);
    }
  },
  run: async (stage) => {
    const { directors, families, capture, client } = stage.pair;
    stage.note('both directors are started');
    const startedMs = monotonicMs();
    for (const director of Object.values(directors)) director.start();
    await directors.a.await('active', isActive, readyTimeoutMs);
    stage.note('director a says that it is active');
    await directors.b.await('a backup in sync', isBackupInSync, readyTimeoutMs);
    await directors.a.await('sure of its real servers', hasAllRealServers, readyTimeoutMs);
    const forwards = await capture.call<number | undefined>('awaitForwarding', 'a', families, startedMs, openTimeoutMs);
    if (forwards === undefined) {
      stage.fail('director a never forwarded a packet');
    }
    const opened = await client.call<number>('fill', stage.options.sessions, openTimeoutMs);
    stage.note(`${opened} sessions opened`);
    await client.call('fillFlows', stage.options.flows, openTimeoutMs);
  },
};

/** `baton failover` on the active director. */
export async function handOver(stage: Stage, from: 'a' | 'b', to: 'a' | 'b'): Promise<void> {
  await stage.takeOver(from, to, 'planned', `baton failover on director ${from}`, async () => {
    const atMs = monotonicMs();
    await stage.pair.directors[from].failover();
    return atMs;
  });
}
