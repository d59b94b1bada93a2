// SPDX-License-Identifier: Apache-2.0
import { addressesOf } from '../../model/virtual-router.ts';
import type { ElectionPorts } from '../ports.ts';
import { addressMessages, advertisementOf } from './packets.ts';
import type { RunningRouter } from './running-router.ts';

/** An advertisement that has left. */
export interface SentAdvertisement {
  /** When it was handed to the network. */
  readonly sentAtMs: number;
  readonly priority: number;
  readonly intervalMs: number;
}

/** Sends advertisements, and reports those that have left or failed. */
export class Advertising {
  readonly #ports: Pick<ElectionPorts, 'clock' | 'transport' | 'log'>;
  readonly #onConcluded: (running: RunningRouter, sent: SentAdvertisement | undefined) => void;
  #pendingCount = 0;
  readonly #onIdle: (() => void)[] = [];

  constructor(
    ports: Pick<ElectionPorts, 'clock' | 'transport' | 'log'>,
    onConcluded: (running: RunningRouter, sent: SentAdvertisement | undefined) => void,
  ) {
    this.#ports = ports;
    this.#onConcluded = onConcluded;
  }

  send(running: RunningRouter, priority: number, intervalMs: number): void {
    const { router } = running.assignment;
    const advertisement = advertisementOf(router, priority, intervalMs, addressesOf(router));
    const messages = addressMessages(router, running.state.primaryAddress, advertisement);
    const sent = { sentAtMs: this.#ports.clock.nowMs(), priority, intervalMs };
    const outcomes: (Error | undefined)[] = [];
    this.#pendingCount += 1;
    for (const { message, endpoints } of messages) {
      const onSent = (error?: Error): void => {
        outcomes.push(error);
        if (outcomes.length === messages.length) this.#conclude(running, outcomes, sent);
      };
      this.#ports.transport.send(router.interface, router.family, message, onSent, endpoints);
    }
  }

  /** Some have been handed to the transport, and have neither left nor failed. */
  get pending(): boolean {
    return this.#pendingCount > 0;
  }

  /** Resolves when every advertisement has left or failed. */
  whenIdle(): Promise<void> {
    if (this.#pendingCount === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** One successful send is enough: another unicast peer may be powered off, and the route to it gone. */
  #conclude(running: RunningRouter, outcomes: readonly (Error | undefined)[], sent: SentAdvertisement): void {
    this.#pendingCount -= 1;
    const error = outcomes.every((outcome) => outcome !== undefined) ? outcomes[0] : undefined;
    if (error === undefined) {
      running.advertisementsSent += 1;
      running.sendFailing = false;
      this.#onConcluded(running, sent);
    } else {
      this.#fail(running, error);
      this.#onConcluded(running, undefined);
    }
    if (this.#pendingCount > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #fail(running: RunningRouter, error: Error): void {
    running.sendErrors += 1;
    if (running.sendFailing) return;
    running.sendFailing = true;
    this.#ports.log('error', `cannot send its advertisement: ${error.message}`, running.assignment.router.name);
  }
}
