// SPDX-License-Identifier: Apache-2.0
import type { RouterAssignment } from '../director/address-plan.ts';
import type { Log } from '../lib/log.ts';
import { type Result, reject } from '../lib/result.ts';
import { DescriptorChannel, type DescriptorMessage } from '../platform/linux/process/descriptor-passing.ts';
import {
  emitRequest,
  type FetchedHandover,
  type FinalHandover,
  type HandoverReason,
  parseFetched,
  parseFinal,
  type SuccessionRequest,
  successionPath,
} from './handover-messages.ts';

/** A vrrp process that has outlived its director, as the next director sees it. It goes on until it is told otherwise. */
export interface Predecessor extends FetchedHandover {
  readonly processId: number;
  /**
   * Makes it resign and end: for a director that cannot succeed it. Resolves when it is gone, at once when it has gone by
   * itself. To be called once, whatever came of it.
   */
  dismiss(): Promise<void>;
}

/** Why there is no handover record. */
type NoRecordReason = HandoverReason | 'gone' | 'silent';

const lookPeriodMs = 1;
const answerTimeoutMs = 1_000;
const farewellTimeoutMs = 1_000;

/**
 * Looks for a vrrp process that outlived the director before this one, which must hold the run-dir's lock. The descriptors
 * given are the caller's to close. Undefined when there is none; one that is of no use is sent away first.
 */
export async function findPredecessor(runDirectory: string, log: Log): Promise<Predecessor | undefined> {
  const channel = await DescriptorChannel.reach(successionPath(runDirectory), answerTimeoutMs);
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
    return { processId, dismiss: leave, ...fetched.value };
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

/** The lease slots and addresses that are in use. */
export function assignmentsOf({ record }: Predecessor): RouterAssignment[] {
  return record.routers.map(({ assignment }) => assignment);
}

/**
 * The next vrrp process asks: the predecessor ends without a farewell, and its last handover record says where to go on.
 * One that gives none is sent away, so that there are never two; unless another director has asked it since (`refused`).
 */
export async function replacePredecessor(
  runDirectory: string,
  successorNumber: number,
  log: Log,
): Promise<Result<FinalHandover, NoRecordReason>> {
  const channel = await DescriptorChannel.reach(successionPath(runDirectory), answerTimeoutMs);
  if (channel === undefined) return reject('gone');
  const { processId, userId } = channel.peer();
  const own = userId === process.geteuid?.();
  const answer = own ? await ask(channel, { ask: 'replace', successorNumber }) : 'gone';
  const replaced = typeof answer === 'string' ? reject(answer) : parseFinal(answer);
  if (own && !replaced.ok && replaced.reason !== 'refused') await dismiss(channel, processId, log);
  else channel.close();
  return replaced;
}

async function ask(
  channel: DescriptorChannel,
  request: SuccessionRequest,
): Promise<DescriptorMessage | 'gone' | 'silent'> {
  if (!channel.send(emitRequest(request))) return 'gone';
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

/** The connection ends with the process, whatever it dies of: until then no other process has its id. */
async function dismiss(channel: DescriptorChannel, processId: number, log: Log): Promise<void> {
  const answer = await ask(channel, { ask: 'dismiss' });
  if (answer === 'silent' && (await waitForMessage(channel, farewellTimeoutMs)) === 'silent') {
    log('error', 'a vrrp process that outlived its director does not end; it is killed', { processId });
    process.kill(processId, 'SIGKILL');
    await waitForMessage(channel, farewellTimeoutMs);
  }
  channel.close();
}
