// SPDX-License-Identifier: Apache-2.0
import type { Election } from '../director/election/election.ts';
import type { ElectionHandoverRecord } from '../director/election/election-view.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { DescriptorChannel, DescriptorListener } from '../platform/linux/process/descriptor-passing.ts';
import { GracePeriod } from './grace-period.ts';
import { type GraceLogLine, graceLogLinesMax, successionPath } from './handover-messages.ts';
import { replacePredecessor } from './predecessor.ts';
import { closeAll, parseDescriptors, type SuccessorDescriptors } from './successor-descriptors.ts';

/** The descriptor of the line over which the director passes descriptors: the one after the lease memory's. */
export const lineDescriptor = 5;

/** A vrrp process as the successor of the previous one, and later as the predecessor of the next. */
export class VrrpSuccession {
  readonly #runDirectory: string;
  readonly #line = new DescriptorChannel(lineDescriptor);
  #held: SuccessorDescriptors = { label: '', descriptors: [] };
  #listener: DescriptorListener | undefined;
  #gracePeriod: GracePeriod | undefined;
  readonly #logLines: GraceLogLine[] = [];

  constructor(runDirectory: string) {
    this.#runDirectory = runDirectory;
  }

  get listening(): boolean {
    return this.#listener !== undefined;
  }

  /** Holds the descriptors that the director has sent in place of those sent earlier. Throws a sentence on failure. */
  holdDescriptors(): void {
    const message = this.#line.receive();
    if (typeof message === 'string') throw new Error(`the successor's descriptors did not arrive (${message})`);
    const received = parseDescriptors(message);
    if (!received.ok) throw new Error(`the successor's descriptors did not arrive (${received.reason})`);
    closeAll(this.#held.descriptors.map(({ fd }) => fd));
    this.#held = received.value;
  }

  /**
   * Ends the predecessor and gives its last handover record; undefined, with the reason logged, when it has left none.
   * Throws a sentence when another director has asked it since.
   */
  async replacePredecessor(successorNumber: number, log: Log): Promise<ElectionHandoverRecord | undefined> {
    const replaced = await replacePredecessor(this.#runDirectory, successorNumber, log);
    if (replaced.ok) {
      const { record, logLines } = replaced.value;
      for (const { level, sentence, router } of logLines) {
        log(level, `meanwhile: ${sentence}`, router === undefined ? {} : { router });
      }
      return record;
    }
    if (replaced.reason === 'refused')
      throw new Error('another director has succeeded the vrrp process before this one');
    log('warn', `starts like any other: the vrrp process before this one left no handover record (${replaced.reason})`);
    return undefined;
  }

  /** Keeps a line for the successor to log, since there is no director at the moment. */
  note(line: GraceLogLine): void {
    this.#logLines.push(line);
    if (this.#logLines.length > graceLogLinesMax) this.#logLines.shift();
  }

  /** From now on a successor finds this process. Until the predecessor is replaced, it has to find the predecessor. */
  listen(): void {
    this.#listener ??= DescriptorListener.open(successionPath(this.#runDirectory));
  }

  /** Called when the director is gone. `end` is called if no successor arrives in time. */
  beginGracePeriod(clock: Clock, election: Election, end: () => void): void {
    if (this.#listener === undefined) return;
    this.#gracePeriod = new GracePeriod({
      clock,
      listener: this.#listener,
      held: this.#held,
      handoverRecord: () => election.handoverRecord(),
      logLines: () => this.#logLines,
      onReplaced: () => {
        election.fallSilent();
        process.exit(0);
      },
      onEnded: end,
    });
  }

  /** Called on a signal, which is meant for the vrrp process itself when it has no director. */
  endGracePeriod(): void {
    this.#gracePeriod?.end();
  }

  close(): void {
    this.#listener?.close();
    this.#listener = undefined;
  }
}
