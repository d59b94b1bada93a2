// SPDX-License-Identifier: Apache-2.0
import { checked, close, eventfd, pinnedMemory, read, write } from '../libc.ts';

// linux/eventfd.h
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

/**
 * Wakes a thread that blocks in poll(2). The descriptor belongs to the process, so one thread creates it, hands the
 * number to the others, and each makes a Wake of its own over it.
 */
export class Wake {
  readonly fd: number;
  readonly #counter = pinnedMemory(8);
  readonly #one = pinnedMemory(8);

  constructor(fd: number) {
    this.fd = fd;
    new BigUint64Array(this.#one.bytes.buffer)[0] = 1n;
  }

  static create(): Wake {
    return new Wake(checked('eventfd', eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  }

  /** Makes `fd` readable until the next `drain`. Any thread may call it, as often as it likes. */
  signal(): void {
    write(this.fd, this.#one.address, 8);
  }

  /** Clears the signals so far. Returns true when there were any. */
  drain(): boolean {
    return read(this.fd, this.#counter.address, 8) === 8;
  }

  /** To be called once, by the thread that created the descriptor. */
  close(): void {
    close(this.fd);
  }
}
