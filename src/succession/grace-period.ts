// SPDX-License-Identifier: Apache-2.0
import type { ElectionHandoverRecord } from '../director/election/election-view.ts';
import type { Clock } from '../lib/clock.ts';
import { close } from '../platform/linux/libc.ts';
import type { DescriptorChannel, DescriptorListener } from '../platform/linux/process/descriptor-passing.ts';
import { sealText } from '../platform/linux/process/sealed-text.ts';
import { emitFetched, emitFinal, emitRefusal, type GraceLogLine, parseRequest } from './handover-messages.ts';
import { emitHandoverRecord } from './handover-record.ts';
import { closeAll, type SuccessorDescriptors } from './successor-descriptors.ts';

export interface GracePeriodParts {
  readonly clock: Clock;
  readonly listener: DescriptorListener;
  readonly held: SuccessorDescriptors;
  /** The election at the time of the call. */
  readonly handoverRecord: () => ElectionHandoverRecord;
  /** The log lines since the director died. */
  readonly logLines: () => readonly GraceLogLine[];
  /** A successor continues from the last handover record, so this process must not send another packet. */
  readonly onReplaced: () => void;
  /** No successor arrived in time, or the process was asked to end: resign. Called once, and not after `onReplaced`. */
  readonly onEnded: () => void;
}

/** How long a vrrp process goes on without its director; the first request of a successor doubles this time. */
export const gracePeriodMs = 5_000;

const lookPeriodMs = 2;
/** Enough for a director, its vrrp process, and those of directors that connected before and have ended. */
const channelsMax = 8;

/**
 * The time between two directors: the data path is in the kernel and the election goes on, so that a successor can
 * continue both. Requests are answered in a few microseconds each, which does not delay the election.
 */
export class GracePeriod {
  readonly #parts: GracePeriodParts;
  readonly #channels = new Set<DescriptorChannel>();
  #endsAtMs: number;
  /** The number of the last director that has fetched: only its vrrp process may replace this one. */
  #successorNumber = 0;
  #over = false;

  constructor(parts: GracePeriodParts) {
    this.#parts = parts;
    this.#endsAtMs = parts.clock.nowMs() + gracePeriodMs;
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
    if (typeof message !== 'string') closeAll(message.descriptors);
    const request = typeof message === 'string' ? undefined : parseRequest(message.bytes);
    if (request?.ok !== true) this.#close(channel);
    else if (request.value.ask === 'fetch') this.#fetch(channel);
    else if (request.value.ask === 'replace') this.#replace(channel, request.value.successorNumber);
    else this.end();
  }

  #fetch(channel: DescriptorChannel): void {
    const { held } = this.#parts;
    // Only the first request extends the time: a director that fails and restarts over and over must not keep the
    // addresses here.
    if (this.#successorNumber === 0) this.#endsAtMs += gracePeriodMs;
    this.#successorNumber += 1;
    const descriptors = held.descriptors.map(({ fd }) => fd);
    if (!this.#answer(channel, emitFetched(held, this.#successorNumber), descriptors)) this.#close(channel);
  }

  #replace(channel: DescriptorChannel, successorNumber: number): void {
    if (successorNumber !== this.#successorNumber || successorNumber === 0) {
      channel.send(emitRefusal());
      return;
    }
    if (!this.#answer(channel, emitFinal(this.#parts.logLines()), [])) {
      this.#close(channel);
      return;
    }
    this.#over = true;
    this.#parts.onReplaced();
  }

  /** Answers with the current handover record. False when the answer cannot be sent. */
  #answer(channel: DescriptorChannel, bytes: Uint8Array, descriptors: readonly number[]): boolean {
    const record = sealText('baton-election', emitHandoverRecord(this.#parts.handoverRecord()));
    const sent = channel.send(bytes, [record, ...descriptors]);
    close(record);
    return sent;
  }

  #close(channel: DescriptorChannel): void {
    this.#channels.delete(channel);
    channel.close();
  }
}
