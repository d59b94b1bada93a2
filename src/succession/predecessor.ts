// SPDX-License-Identifier: Apache-2.0
import type { RouterAssignment } from '../director/address-plan.ts';
import { assignmentsOf, type ElectionBequest } from '../director/election/handover-record.ts';
import type { Log } from '../lib/log.ts';
import { type Result, reject } from '../lib/result.ts';
import { DescriptorChannel, type DescriptorMessage } from '../platform/linux/process/descriptor-passing.ts';
import {
  emitRecord,
  type KeptDescriptors,
  parseFetched,
  parseYielded,
  type SuccessionReason,
  type SuccessionRequest,
  successionPath,
  type YieldedLegacy,
} from './handover-messages.ts';

/** A vrrp process that has outlived its director, as the next director sees it. It goes on until it is told otherwise. */
export interface Predecessor extends KeptDescriptors {
  readonly processId: number;
  /** As the former director had planned them: slots and addresses that are in use. */
  readonly assignments: readonly RouterAssignment[];
  /** The election at the time of the question. */
  readonly bequest: ElectionBequest;
  /** With which the next vrrp process may ask it to yield. */
  readonly ticket: number;
  /**
   * Makes it resign and end: for a director that cannot go on from what it has left. Resolves when it is gone, at once
   * when it has gone by itself. To be called once, whatever came of it.
   */
  dismiss(): Promise<void>;
}

export type NoBequestReason = SuccessionReason | 'gone' | 'silent';

const lookPeriodMs = 1;
const answerTimeoutMs = 1_000;
const farewellTimeoutMs = 1_000;

/**
 * Looks for a vrrp process that outlived the director before this one, which must hold the run-dir's lock. The descriptors
 * given are the caller's to close. Undefined when there is none; one that is of no use is sent away first.
 */
export async function findPredecessor(runDirectory: string, log: Log): Promise<Predecessor | undefined> {
  const channel = DescriptorChannel.connect(successionPath(runDirectory));
  if (channel === undefined) return undefined;
  const { processId, userId } = channel.peer();
  if (userId !== process.geteuid?.()) {
    channel.close();
    throw new Error(
      `another user's process listens at ${successionPath(runDirectory)}; end it or choose another --run-dir`,
    );
  }
  const answer = await ask(channel, { ask: 'fetch' });
  const fetched = typeof answer === 'string' ? reject(answer) : parseFetched(answer);
  const leave = (): Promise<void> => dismiss(channel, processId, log);
  if (fetched.ok) {
    return { processId, assignments: assignmentsOf(fetched.value.bequest), dismiss: leave, ...fetched.value };
  }
  if (fetched.reason !== 'gone') {
    log('warn', 'a vrrp process that outlived its director is of no use to this one and is sent away', {
      reason: fetched.reason,
      processId,
    });
  }
  await leave();
  return undefined;
}

/**
 * The next vrrp process asks: the one before it ends without a farewell, and this is where to go on. One that does not
 * yield is sent away, so that there are never two; unless it has been asked by another director since (`refused`).
 */
export async function takeOver(
  runDirectory: string,
  ticket: number,
  log: Log,
): Promise<Result<YieldedLegacy, NoBequestReason>> {
  const channel = DescriptorChannel.connect(successionPath(runDirectory));
  if (channel === undefined) return reject('gone');
  const { processId, userId } = channel.peer();
  const own = userId === process.geteuid?.();
  const answer = own ? await ask(channel, { ask: 'yield', ticket }) : 'gone';
  const yielded = typeof answer === 'string' ? reject(answer) : parseYielded(answer);
  if (own && !yielded.ok && yielded.reason !== 'refused') await dismiss(channel, processId, log);
  else channel.close();
  return yielded;
}

async function ask(
  channel: DescriptorChannel,
  request: SuccessionRequest,
): Promise<DescriptorMessage | 'gone' | 'silent'> {
  if (!channel.send(emitRecord({ ...request }))) return 'gone';
  return waitForMessage(channel, answerTimeoutMs);
}

async function waitForMessage(
  channel: DescriptorChannel,
  timeoutMs: number,
): Promise<DescriptorMessage | 'gone' | 'silent'> {
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const message = channel.receive();
    if (message === 'closed' || message === 'cut') return 'gone';
    if (message !== 'nothing') return message;
    if (performance.now() >= untilMs) return 'silent';
    await new Promise((resolve) => setTimeout(resolve, lookPeriodMs));
  }
}

/** The connection ends with the process, whatever it dies of: until then its pid is nobody else's. */
async function dismiss(channel: DescriptorChannel, processId: number, log: Log): Promise<void> {
  const answer = await ask(channel, { ask: 'dismiss' });
  if (answer === 'silent' && (await waitForMessage(channel, farewellTimeoutMs)) === 'silent') {
    log('error', 'a vrrp process that outlived its director does not end; it is killed', { processId });
    process.kill(processId, 'SIGKILL');
    await waitForMessage(channel, farewellTimeoutMs);
  }
  channel.close();
}
