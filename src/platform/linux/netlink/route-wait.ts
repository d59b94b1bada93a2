// SPDX-License-Identifier: Apache-2.0
import type { KoffiFunc } from 'koffi';
import { pinnedMemory, ppoll, type SystemCall } from '../libc.ts';
import { Wake } from '../process/wake.ts';

// asm-generic/poll.h: struct pollfd { int fd; short events; short revents; }
const pollfdLength = 8;
const POLLIN = 1;
/**
 * A process that exits without `close` waits for the pool's thread, so for at most this long. Each time-out costs some
 * 20 µs, five times a second.
 */
const waitMs = 200;

/**
 * Calls `onReadable` on the event loop whenever a descriptor is readable or in error, until it no longer is. Node cannot
 * poll a descriptor that is not a socket of its own, so a thread of libuv's pool blocks in ppoll(2). Until `close` that
 * thread stays occupied and keeps the process alive.
 */
export class ReadableWatch {
  readonly #onReadable: () => void;
  readonly #wake = Wake.create();
  readonly #fds = pinnedMemory(2 * pollfdLength);
  readonly #results: Int16Array;
  /** struct timespec: two 64-bit words. */
  readonly #timeout = pinnedMemory(16);
  #closed = false;

  constructor(fd: number, onReadable: () => void) {
    this.#onReadable = onReadable;
    const numbers = new Int32Array(this.#fds.bytes.buffer);
    this.#results = new Int16Array(this.#fds.bytes.buffer);
    for (const [i, each] of [fd, this.#wake.fd].entries()) {
      numbers[2 * i] = each;
      this.#results[4 * i + 2] = POLLIN;
    }
    new BigInt64Array(this.#timeout.bytes.buffer)[1] = BigInt(waitMs * 1e6);
    this.#wait();
  }

  /** Resolves when the thread no longer uses the descriptor: only then may it be closed. */
  close(): Promise<void> {
    this.#closed = true;
    this.#wake.signal();
    return new Promise((resolve) => {
      this.#released = resolve;
    });
  }

  #released: () => void = () => {};

  #wait(): void {
    const call = ppoll as unknown as KoffiFunc<SystemCall>;
    call.async(this.#fds.address, 2, this.#timeout.address, 0, (_error: unknown, ready: number) => {
      if (this.#closed) {
        this.#wake.close();
        this.#released();
        return;
      }
      const readable = ready > 0 && this.#results[3] !== 0;
      try {
        if (readable) this.#onReadable();
      } finally {
        if (this.#closed) {
          this.#wake.close();
          this.#released();
        } else this.#wait();
      }
    });
  }
}
