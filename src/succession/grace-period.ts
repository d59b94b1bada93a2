// SPDX-License-Identifier: Apache-2.0
import { type ElectionBequest, writeBequest } from '../director/election/handover-record.ts';
import type { Clock } from '../lib/clock.ts';
import { close } from '../platform/linux/libc.ts';
import type { DescriptorChannel, DescriptorListener } from '../platform/linux/process/descriptor-passing.ts';
import { sealText } from '../platform/linux/process/sealed-text.ts';
import {
  emitFetched,
  emitRefusal,
  emitYielded,
  type KeptDescriptors,
  parseRequest,
  type StoryLine,
} from './handover-messages.ts';

export interface GraceParts {
  readonly clock: Clock;
  readonly listener: DescriptorListener;
  readonly kept: KeptDescriptors;
  /** The state of the election at this moment. */
  readonly bequeath: () => ElectionBequest;
  /** What has been worth a line since the director died. */
  readonly story: () => readonly StoryLine[];
  /** Another process goes on from the state that was given last: not a word more. */
  readonly onYielded: () => void;
  /** Nobody came in time, or somebody wants it so: resign. Called once, and not after `onYielded`. */
  readonly onEnded: () => void;
}

/** How long a vrrp process goes on without its director; once as long again from the moment that a new one has asked. */
export const graceMs = 5_000;

const lookPeriodMs = 2;
/** A director, its vrrp process, and one of each that came too early and went. */
const channelsMax = 8;

/**
 * The time between two directors: the data path is in the kernel and the election goes on, so a restarted director can
 * take both over. Answers it in turns of a few microseconds, which the election does not feel.
 */
export class Grace {
  readonly #parts: GraceParts;
  readonly #channels = new Set<DescriptorChannel>();
  #endsAtMs: number;
  /** Of the last director that has fetched: its vrrp process alone may go on from here. */
  #ticket = 0;
  #over = false;

  constructor(parts: GraceParts) {
    this.#parts = parts;
    this.#endsAtMs = parts.clock.nowMs() + graceMs;
    this.#look();
  }

  /** Resigns now. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#parts.onEnded();
  }

  #look(): void {
    const { clock, listener } = this.#parts;
    if (this.#over) return;
    if (clock.nowMs() >= this.#endsAtMs) {
      this.end();
      return;
    }
    for (let next = listener.accept(); next !== undefined; next = listener.accept()) {
      if (this.#channels.size < channelsMax) this.#channels.add(next);
      else next.close();
    }
    for (const channel of this.#channels) this.#read(channel);
    if (!this.#over) clock.callAt(clock.nowMs() + lookPeriodMs, () => this.#look());
  }

  #read(channel: DescriptorChannel): void {
    const message = this.#over ? 'nothing' : channel.receive();
    if (message === 'nothing') return;
    if (typeof message !== 'string') for (const fd of message.descriptors) close(fd);
    const request = typeof message === 'string' ? undefined : parseRequest(message.bytes);
    if (request?.ok !== true) this.#close(channel);
    else if (request.value.ask === 'fetch') this.#fetch(channel);
    else if (request.value.ask === 'yield') this.#yield(channel, request.value.ticket);
    else this.end();
  }

  #fetch(channel: DescriptorChannel): void {
    const { kept } = this.#parts;
    // Only the first one: whatever starts again and again is not to keep the addresses here.
    if (this.#ticket === 0) this.#endsAtMs += graceMs;
    this.#ticket += 1;
    const descriptors = kept.descriptors.map(({ fd }) => fd);
    if (!this.#answer(channel, emitFetched(kept, this.#ticket), descriptors)) this.#close(channel);
  }

  #yield(channel: DescriptorChannel, ticket: number): void {
    if (ticket !== this.#ticket || ticket === 0) {
      channel.send(emitRefusal());
      return;
    }
    if (!this.#answer(channel, emitYielded(this.#parts.story()), [])) {
      this.#close(channel);
      return;
    }
    this.#over = true;
    this.#parts.onYielded();
  }

  /** With the present state. False when it cannot be said. */
  #answer(channel: DescriptorChannel, bytes: Uint8Array, descriptors: readonly number[]): boolean {
    const state = sealText('baton-election', writeBequest(this.#parts.bequeath()));
    const sent = channel.send(bytes, [state, ...descriptors]);
    close(state);
    return sent;
  }

  #close(channel: DescriptorChannel): void {
    this.#channels.delete(channel);
    channel.close();
  }
}
