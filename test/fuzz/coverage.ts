// SPDX-License-Identifier: Apache-2.0
import type { Outcome } from './duel.ts';
import type { Step } from './steps.ts';

/** How often each outcome has occurred over many stories: drops by reason, answers, verdicts about records. */
export class Coverage {
  stories = 0;
  steps = 0;
  readonly #counts = new Map<string, number>();
  #last: Outcome | undefined;

  readonly follow = (step: Step, outcome: Outcome): void => {
    this.steps += 1;
    this.#last = outcome;
    if (step.do === 'frame') this.#add('frames', 1);
    this.#add('frames out', outcome.frames.length);
    this.#add('events', outcome.events.length);
    if (outcome.imported !== undefined) this.#addAll(outcome.imported);
  };

  /** A story is over. */
  end(): void {
    this.stories += 1;
    if (this.#last === undefined) return;
    const { drops, halfOpenEvictions, secondClassEvictions, secondClassConnections, establishedConnections } =
      this.#last.counters;
    const { arpReplies, neighbourReplies, echoReplies, resetsSent, unreachablesSent } = this.#last.counters;
    this.#addAll(drops);
    this.#addAll({ halfOpenEvictions, secondClassEvictions, secondClassConnections, establishedConnections });
    this.#addAll({ arpReplies, neighbourReplies, echoReplies, resetsSent, unreachablesSent });
    this.#last = undefined;
  }

  of(what: string): number {
    return this.#counts.get(what) ?? 0;
  }

  toString(): string {
    const counts = [...this.#counts].map(([what, count]) => `${what} ${count}`);
    return `${this.stories} stories, ${this.steps} steps: ${counts.join(', ')}`;
  }

  #add(what: string, count: number): void {
    this.#counts.set(what, this.of(what) + count);
  }

  #addAll(counts: object): void {
    for (const [what, count] of Object.entries(counts)) this.#add(what, count as number);
  }
}
