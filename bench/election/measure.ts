// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { RivalOptions } from '../../src/drill/measure/rival.ts';
import { startRemote } from '../../src/drill/remote.ts';
import { type Capture, openCapture } from './capture.ts';
import { type Director, startDirector, virtualRouterId } from './contestants.ts';
import { addressOf, buildGround, type Ground, interfaceName, macAddressOf, virtualAddress } from './ground.ts';
import type { ContestantName, ElectionOptions } from './options.ts';
import type { ElectionFigures } from './report.ts';
import { type DirectorName, timelinessOf } from './timeliness.ts';

const privateDirectory = '/run';
const rivalPriority = 1;
/** A pair that has elected is left alone for so long before it is watched. */
const settleMsMin = 1_000;
const settleIntervals = 10;
/** A director's log lines come late when processors are busy. */
const logDelayMs = 500;

/** One run of one contestant: a pair elects, and then its advertisements are watched while the load is on. */
export async function measureElection(contestant: ContestantName, options: ElectionOptions): Promise<ElectionFigures> {
  const ground = await buildGround();
  const home = mkdtempSync(`${privateDirectory}/election-`);
  const capture = openCapture();
  const directors: Director[] = [];
  const start = (name: DirectorName): Director => {
    const director = startDirector(ground, contestant, name, home, options);
    directors.push(director);
    return director;
  };
  let busy: readonly ChildProcess[] = [];
  try {
    await start('better').enters('active');
    await start('backup').enters('backup');
    busy = startBusyLoops(options.busy);
    await delay(Math.max(settleMsMin, settleIntervals * options.intervalMs));
    return await watch(ground, capture, directors, options);
  } finally {
    await Promise.all(busy.map(end));
    await Promise.all(directors.map((director) => director.end()));
    capture.close();
    rmSync(home, { recursive: true, force: true });
    await ground.remove();
  }
}

async function watch(
  ground: Ground,
  capture: Capture,
  directors: readonly Director[],
  options: ElectionOptions,
): Promise<ElectionFigures> {
  const addresses = capture.seen().findLast(({ from }) => from === 'better')?.addresses ?? 0;
  const logged = (): number => directors.reduce((sum, director) => sum + director.changes(), 0);
  const loggedBefore = logged();
  const sentBefore = await ground.sentBy('rival');
  const stopRival = options.rival === 0 ? undefined : startRival(ground, addresses, options);
  const fromMs = Date.now();
  await delay(options.seconds * 1_000);
  const toMs = Date.now();
  const rivalPerSecond = ((await ground.sentBy('rival')) - sentBefore) / options.seconds;
  await stopRival?.();
  await delay(logDelayMs);
  return {
    ...timelinessOf(capture.seen(), { fromMs, toMs }, options.intervalMs),
    logged: logged() - loggedBefore,
    addresses,
    rivalPerSecond,
  };
}

/** A third host that advertises the same virtual router with a lower priority. Gives how to end it. */
function startRival(ground: Ground, addresses: number, { rival: rate, intervalMs, seconds }: ElectionOptions) {
  const rival = startRemote(ground, 'rival', 'measure/rival');
  const router = {
    vrid: virtualRouterId,
    priority: rivalPriority,
    intervalMs,
    source: addressOf('rival'),
    // As many as the contestant itself lists: it may ignore an advertisement of other addresses.
    addresses: Array.from({ length: addresses }, (_, n) => virtualAddress(n)),
  };
  // More than it can have sent when it is ended.
  const count = 2 * rate * seconds;
  const order: RivalOptions = {
    interface: interfaceName,
    macAddress: macAddressOf('rival'),
    routers: [router],
    count,
    rate,
  };
  let isWanted = true;
  const sending = rival.call('run', order).catch((error: unknown) => {
    if (isWanted) throw error;
  });
  return async (): Promise<void> => {
    isWanted = false;
    await rival.stop();
    await sending;
  };
}

/** Endless loops, pinned so that every processor has as many. Each is a session of its own, as a service is. */
function startBusyLoops(perProcessor: number): ChildProcess[] {
  return Array.from({ length: perProcessor * availableParallelism() }, (_, n) => {
    const processor = String(n % availableParallelism());
    return spawn('taskset', ['-c', processor, 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore', detached: true });
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
