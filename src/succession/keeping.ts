// SPDX-License-Identifier: Apache-2.0
import type { Election } from '../director/election/election.ts';
import type { ElectionBequest } from '../director/election/handover-record.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { close } from '../platform/linux/libc.ts';
import { DescriptorChannel, DescriptorListener } from '../platform/linux/process/descriptor-passing.ts';
import { Grace } from './grace-period.ts';
import { type KeptDescriptors, parseKept, type StoryLine, storyLinesMax, successionPath } from './handover-messages.ts';
import { takeOver } from './predecessor.ts';

/** The descriptor of the line over which the director passes others: behind that of the lease memory. */
export const lineDescriptor = 5;

/** The part of a vrrp process that lets it outlive its director: what it holds for the next one, and where that one asks. */
export class Keeping {
  readonly #runDirectory: string;
  readonly #line = new DescriptorChannel(lineDescriptor);
  #kept: KeptDescriptors = { label: '', descriptors: [] };
  #listener: DescriptorListener | undefined;
  #grace: Grace | undefined;
  readonly #story: StoryLine[] = [];

  constructor(runDirectory: string) {
    this.#runDirectory = runDirectory;
  }

  get listening(): boolean {
    return this.#listener !== undefined;
  }

  /** Takes what the director has sent in place of what it had sent before. Throws a sentence when that cannot be read. */
  adopt(): void {
    const message = this.#line.receive();
    if (typeof message === 'string') throw new Error(`the descriptors to keep did not arrive (${message})`);
    const kept = parseKept(message);
    if (!kept.ok) throw new Error(`the descriptors to keep did not arrive (${kept.reason})`);
    for (const { fd } of this.#kept.descriptors) close(fd);
    this.#kept = kept.value;
  }

  /** Undefined, with the reason told, when there is nothing to go on from. Throws when another director is at it. */
  async takeOver(ticket: number, log: Log): Promise<ElectionBequest | undefined> {
    const yielded = await takeOver(this.#runDirectory, ticket, log);
    if (yielded.ok) {
      const { bequest, story } = yielded.value;
      for (const { level, sentence, router } of story) {
        log(level, `meanwhile: ${sentence}`, router === undefined ? {} : { router });
      }
      return bequest;
    }
    if (yielded.reason === 'refused') throw new Error('another director has taken over from the former vrrp process');
    log('warn', `begins anew: the former vrrp process has left nothing to go on from (${yielded.reason})`);
    return undefined;
  }

  /** For the next director to log: there is none at the moment. */
  note(line: StoryLine): void {
    this.#story.push(line);
    if (this.#story.length > storyLinesMax) this.#story.shift();
  }

  /** From here on the next director finds this process. Not sooner: until it has yielded, it has to find the former one. */
  listen(): void {
    this.#listener ??= DescriptorListener.open(successionPath(this.#runDirectory));
  }

  /** Without a director. `end` is called should nobody take over in time. */
  beginGrace(clock: Clock, election: Election, end: () => void): void {
    if (this.#listener === undefined) return;
    this.#grace = new Grace({
      clock,
      listener: this.#listener,
      kept: this.#kept,
      bequeath: () => election.bequeath(),
      story: () => this.#story,
      onYielded: () => {
        election.fallSilent();
        process.exit(0);
      },
      onEnded: end,
    });
  }

  /** Whoever ends a vrrp process that has no director means it. */
  endGrace(): void {
    this.#grace?.end();
  }

  close(): void {
    this.#listener?.close();
    this.#listener = undefined;
  }
}
