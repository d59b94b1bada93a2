// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import type { DirectorStatus } from '../../director/status.ts';
import { monotonicMs } from '../director.ts';
import { hasAllRealServers, isActive, isBackupInSync, readyTimeoutMs } from '../health.ts';
import { familyName } from '../lab/topology.ts';
import type { EchoReport } from '../measure/echoes.ts';
import type { Evidence, Scenario, Stage } from '../stage.ts';
import { readTable } from '../table.ts';
import { type EchoProbe, reportEchoes, startEchoProbes } from './echo.ts';

// The director process comes and goes. With the portable engine it forwards itself, so that its peer has to take over.
// With the xdp engine the kernel goes on forwarding, and the vrrp process goes on advertising: nobody may notice.

const terminateTimeoutMs = 5_000;
/** The time without a director process, and how long the probe is watched before and after it. */
const goneMs = 1_000;
const aroundMs = 1_000;

export const restart: Scenario = {
  // With the xdp engine nobody takes over: then there is no window, and the longest silence is measured.
  from: 'a',
  to: 'b',
  run: (stage) => (stage.options.engine === 'xdp' ? replaceDirector(stage) : stopAndStart(stage)),
};

async function stopAndStart(stage: Stage): Promise<void> {
  const { a } = stage.pair.directors;
  let ended: Promise<number | undefined> = Promise.resolve(undefined);
  await stage.takeOver('a', 'b', 'planned', 'SIGTERM to director a', () => {
    const atMs = monotonicMs();
    ended = a.terminate(terminateTimeoutMs);
    return atMs;
  });
  const code = await ended;
  if (code !== 0) stage.fail(`director a did not exit with 0 after SIGTERM (${code ?? 'killed'})`);
  await stage.takeOver('b', 'a', 'planned', 'director a is started again', () => {
    const atMs = monotonicMs();
    a.start();
    return atMs;
  });
}

async function replaceDirector(stage: Stage): Promise<void> {
  const { pair, say, note } = stage;
  const { a, b } = pair.directors;
  const echoProbes = await startEchoProbes(stage);
  await delay(aroundMs);
  const before = await reportEchoes(echoProbes);
  const tableBefore = await readTable(a);
  const statusBefore = await a.await('active', isActive, readyTimeoutMs);
  const what = 'kill -9 of the director process alone';
  say(what);
  const killedAtMs = await a.killDirector();
  note(what, killedAtMs);
  await delay(Math.max(0, killedAtMs + goneMs - monotonicMs()));
  say('director a is started again');
  note('director a is started again');
  a.start();
  const isReady = (status: DirectorStatus): boolean => isActive(status) && hasAllRealServers(status);
  const statusAfter = await a.await('active, and sure of its real servers', isReady, readyTimeoutMs);
  note('director a says that it is active');
  const tableAfter = await readTable(a);
  await b.await('a backup in sync', isBackupInSync, readyTimeoutMs);
  await delay(aroundMs);
  const during = await reportEchoes(echoProbes);
  await Promise.all(echoProbes.map(({ remote }) => remote.stop()));
  judgeEchoes(stage, echoProbes, before, during);
  for (const sentence of compareStatus(statusBefore, statusAfter)) stage.fail(sentence);
  const forgotten = [...tableBefore].filter(([key, value]) => tableAfter.get(key) !== value).length;
  if (forgotten > 0)
    stage.fail(`${forgotten} of ${tableBefore.size} connections are others after the restart, or gone`);
  stage.check((evidence) => checkNobodyTookOver(stage, evidence, killedAtMs));
}

/** A machine that loses datagrams anyway says nothing by losing no more of them. */
function judgeEchoes(stage: Stage, probes: readonly EchoProbe[], before: EchoReport[], during: EchoReport[]): void {
  for (const [i, { family }] of probes.entries()) {
    const [was, is] = [before[i]!, during[i]!];
    stage.measured(family, is.lost > was.lost ? is.gapMs : 0);
    if (is.gapFromMs !== undefined)
      stage.note(`the longest row of lost probes begins (${familyName[family]})`, is.gapFromMs);
    const lost = `${is.lost} of ${is.sent} lost (before: ${was.lost} of ${was.sent})`;
    stage.tell(`UDP probe of one a millisecond, ${familyName[family]}: ${lost}`);
  }
}

/** The counters go on from the predecessor's values. */
function compareStatus(
  before: Pick<DirectorStatus, 'services' | 'processId'>,
  after: Pick<DirectorStatus, 'services' | 'processId'>,
): string[] {
  const failures: string[] = [];
  if (before.processId === after.processId) failures.push('the director process is still the same');
  for (const [i, { name, ...was }] of before.services.entries()) {
    const is = after.services[i];
    for (const counter of ['connections', 'packetsIn', 'bytesIn', 'packetsOut', 'bytesOut'] as const) {
      if (is !== undefined && is.name === name && is[counter] >= was[counter]) continue;
      failures.push(`${counter} of ${name} was ${was[counter]} before the restart and is ${is?.[counter]} after it`);
    }
  }
  return failures;
}

/** Director b stays a backup, and director a never says that it resigns. */
function checkNobodyTookOver({ pair }: Stage, { wire }: Evidence, killedAtMs: number): string[] {
  const failures: string[] = [];
  for (const family of pair.families) {
    const after = (times: Float64Array): number => times.filter((atMs) => atMs > killedAtMs).length;
    const { forwarded, signs } = wire.b![family];
    const claims = signs.filter(({ kind, atMs }) => kind === 'advertisement' && atMs > killedAtMs).length;
    if (after(forwarded) > 0) failures.push(`director b forwarded ${after(forwarded)} packets (${family})`);
    if (claims > 0) failures.push(`director b took over (${family})`);
    const resigned = wire.a![family].signs.some(({ kind, atMs }) => kind === 'resignation' && atMs > killedAtMs);
    if (resigned) failures.push(`director a resigned (${family})`);
  }
  return failures;
}
