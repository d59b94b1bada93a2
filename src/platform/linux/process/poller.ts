// SPDX-License-Identifier: Apache-2.0
import { errno, pinnedMemory, ppoll } from '../libc.ts';
import { errnos, SystemError } from '../system-error.ts';

// asm-generic/poll.h: struct pollfd { int fd; short events; short revents; }
const pollfdLength = 8;
const POLLIN = 1;
export const POLLOUT = 4;

/** A poll(2) over a fixed set of descriptors, for a thread without an event loop or for a check without waiting. */
export class Poller {
  readonly #fds;
  readonly #results: Int16Array;
  /** struct timespec: two 64-bit words. */
  readonly #timeout = pinnedMemory(16);
  readonly #timespec = new BigInt64Array(this.#timeout.bytes.buffer);
  readonly #length: number;

  /** `event`: the poll(2) event that is awaited on each descriptor. */
  constructor(fds: readonly number[], event: typeof POLLIN | typeof POLLOUT = POLLIN) {
    this.#length = fds.length;
    this.#fds = pinnedMemory(Math.max(1, fds.length) * pollfdLength);
    const numbers = new Int32Array(this.#fds.bytes.buffer);
    this.#results = new Int16Array(this.#fds.bytes.buffer);
    for (const [i, fd] of fds.entries()) {
      numbers[2 * i] = fd;
      this.#results[4 * i + 2] = event;
    }
  }

  /**
   * Waits until a descriptor has its event (or is in error) or `timeoutMs` (a fraction is honoured; Infinity: for ever) has
   * passed. Returns the number of ready descriptors; 0 also when a signal interrupted the wait.
   */
  wait(timeoutMs: number): number {
    let timeout = 0;
    if (timeoutMs !== Number.POSITIVE_INFINITY) {
      const ns = Math.max(0, Math.ceil(timeoutMs * 1e6));
      const seconds = Math.floor(ns / 1e9);
      this.#timespec[0] = BigInt(seconds);
      this.#timespec[1] = BigInt(ns - seconds * 1e9);
      timeout = this.#timeout.address;
    }
    const ready = ppoll(this.#fds.address, this.#length, timeout, 0);
    if (ready >= 0) return ready;
    for (let i = 0; i < this.#length; i += 1) this.#results[4 * i + 3] = 0;
    const error = errno();
    if (error === errnos.EINTR || error === errnos.EAGAIN) return 0;
    throw new SystemError('ppoll', error);
  }

  /** Whether the last `wait` found the descriptor at `index` ready, hung up or in error. */
  ready(index: number): boolean {
    return this.#results[4 * index + 3] !== 0;
  }
}
