// SPDX-License-Identifier: Apache-2.0
import { activeHeard } from '../../director/election/active-heard.ts';
import type { Election } from '../../director/election/election.ts';
import type { FromVrrpProcess } from './requests.ts';

/**
 * Tells the director which others are heard as active: not for each advertisement, whose senders may be many, but after a
 * transition and with every poll.
 */
export class HeardTeller {
  readonly #election: Election;
  readonly #tell: (message: FromVrrpProcess) => void;
  #told = '';
  #due = false;

  constructor(election: Election, tell: (message: FromVrrpProcess) => void) {
    this.#election = election;
    this.#tell = tell;
  }

  /** Something may have changed. The transitions of many virtual routers are told of once. */
  changed(): void {
    if (this.#due) return;
    this.#due = true;
    setImmediate(() => this.#look());
  }

  #look(): void {
    this.#due = false;
    const heard = activeHeard(this.#election.view().routers);
    const text = JSON.stringify(heard) ?? '';
    if (text === this.#told) return;
    this.#told = text;
    this.#tell({ kind: 'activeHeard', heard });
  }
}
