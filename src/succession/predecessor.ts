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

/**
 * A vrrp process that has outlived its director, as the next director sees it. It goes on until replaced or dismissed.
 */
export interface Predecessor extends FetchedHandover {
  readonly processId: number;
  /**
   * Makes it resign and end, for a director that cannot succeed it. Resolves when the process is gone, at once if it
   * has ended already. Must be called exactly once, also after a successful replacement.
   */
  dismiss(): Promise<void>;
}

/** The reasons why there is no handover record. */
type NoRecordReason = HandoverReason | 'gone' | 'silent';

const lookPeriodMs = 1;
const answerTimeoutMs = 1_000;
const farewellTimeoutMs = 1_000;

/**
 * Looks for a vrrp process that outlived the previous director. The caller must hold the run-dir's lock, and closes the
 * descriptors. Undefined when there is none; one whose answer cannot be used is dismissed first.
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
    log('warn', 'a vrrp process that outlived its director cannot be continued and is dismissed', {
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
 * Called by the next vrrp process: the predecessor ends without sending priority 0, and gives its last handover record.
 * One that gives none is dismissed, so that there are never two, unless another director has asked it since
 * (`refused`).
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

/** The connection lasts as long as the process, so that no other process has its id when it is killed. */
async function dismiss(channel: DescriptorChannel, processId: number, log: Log): Promise<void> {
  const answer = await ask(channel, { ask: 'dismiss' });
  if (answer === 'silent' && (await waitForMessage(channel, farewellTimeoutMs)) === 'silent') {
    log('error', 'a vrrp process that outlived its director does not end; it is killed', { processId });
    process.kill(processId, 'SIGKILL');
    await waitForMessage(channel, farewellTimeoutMs);
  }
  channel.close();
}
