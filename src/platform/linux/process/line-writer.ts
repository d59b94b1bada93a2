// SPDX-License-Identifier: Apache-2.0
import { constants, fstatSync, openSync, write, writeSync } from 'node:fs';
import { POLLOUT, Poller } from './poller.ts';

export interface LineWriterSettings {
  /** Bytes that may wait for a slow reader; lines that exceed this are dropped. */
  readonly queueBytesMax?: number;
  /** The line, with its line feed, that takes the place of so many dropped lines. */
  readonly noticeOf: (droppedCount: number) => string;
}

/** A line that waits. `lineCount`: how many lines are lost with it; a notice counts for the lines of its gap. */
interface Waiting {
  readonly bytes: Uint8Array;
  readonly lineCount: number;
}

const defaultQueueBytesMax = 1 << 20;
/** PIPE_BUF: this many bytes fit whole into a pipe or socket that poll(2) reports as writable. */
const atomicBytesMax = 4096;
const lookPeriodMs = 10;
const lineFeed = 10;
const encoder = new TextEncoder();

/**
 * Writes lines to a descriptor, in order, and never waits for its reader: neither a pipe that nobody reads, nor a
 * stopped terminal, nor a stuck disk holds up the thread that writes. Lines that do not fit into a bounded queue are
 * dropped and counted, and a notice takes their place when there is room again. Lines that cannot be written at all
 * (the reader has gone, the disk is full) are dropped and counted likewise.
 */
export class LineWriter {
  readonly #fd: number;
  readonly #isFile: boolean;
  readonly #poller: Poller;
  readonly #queueBytesMax: number;
  readonly #noticeOf: (droppedCount: number) => string;
  readonly #queue: Waiting[] = [];
  #queuedBytes = 0;
  /** Bytes of the first line that are already written. */
  #written = 0;
  #dropped = 0;
  /** A line broke off in the middle, so the next one begins on a line of its own. */
  #torn = false;
  #filing = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(fd: number, settings: LineWriterSettings) {
    this.#isFile = fstatSync(fd).isFile();
    this.#fd = ownDescriptor(fd);
    this.#poller = new Poller([this.#fd], POLLOUT);
    this.#queueBytesMax = settings.queueBytesMax ?? defaultQueueBytesMax;
    this.#noticeOf = settings.noticeOf;
  }

  /** One line with its line feed. */
  write(line: string): void {
    const bytes = encoder.encode(line);
    if (this.#dropped > 0) {
      this.#flush();
      this.#closeGap();
    }
    // While a gap is open, a line that would just fit is dropped too, so that there is one gap in one place.
    if (this.#dropped > 0 || this.#queuedBytes + bytes.length > this.#queueBytesMax) {
      this.#dropped += 1;
      return;
    }
    this.#append({ bytes, lineCount: 1 });
    this.#flush();
  }

  /** Resolves when everything is written, or when `timeoutMs` have passed. */
  async drain(timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    for (this.#flush(); this.#queue.length > 0 && performance.now() < deadlineMs; this.#flush()) {
      await new Promise((resolve) => setTimeout(resolve, lookPeriodMs));
    }
  }

  #append(waiting: Waiting): void {
    this.#queue.push(waiting);
    this.#queuedBytes += waiting.bytes.length;
  }

  #flush(): void {
    if (this.#isFile) this.#file();
    else this.#pass();
  }

  #pass(): void {
    while (this.#queue.length > 0 && this.#poller.wait(0) > 0) {
      const from = this.#nextBytes();
      try {
        const length = writeSync(this.#fd, from, 0, Math.min(from.length, atomicBytesMax));
        if (length === 0) break;
        this.#advance(length);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') break;
        this.#loseAll();
      }
    }
    if (this.#queue.length > 0 && this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#flush();
      }, lookPeriodMs).unref();
    }
  }

  /** poll(2) reports a disk as always writable, yet the write may take long: a thread of the pool waits for it. */
  #file(): void {
    if (this.#filing || this.#queue.length === 0) return;
    this.#filing = true;
    write(this.#fd, this.#nextBytes(), (error, length) => {
      this.#filing = false;
      if (error === null && length > 0) this.#advance(length);
      else this.#loseAll();
      this.#file();
    });
  }

  #nextBytes(): Uint8Array {
    const [{ bytes } = { bytes: new Uint8Array() }] = this.#queue;
    return this.#torn ? new Uint8Array([lineFeed, ...bytes]) : bytes.subarray(this.#written);
  }

  #advance(length: number): void {
    const [first] = this.#queue;
    if (first === undefined) return;
    this.#written += this.#torn ? length - 1 : length;
    this.#torn = false;
    if (this.#written < first.bytes.length) return;
    this.#queue.shift();
    this.#queuedBytes -= first.bytes.length;
    this.#written = 0;
    this.#closeGap();
  }

  /** Closes a gap once half of the queue is free, so that a slow reader does not get a notice for each line. */
  #closeGap(): void {
    if (this.#dropped === 0 || this.#queuedBytes > this.#queueBytesMax / 2) return;
    const lineCount = this.#dropped;
    this.#dropped = 0;
    this.#append({ bytes: encoder.encode(this.#noticeOf(lineCount)), lineCount });
  }

  #loseAll(): void {
    if (this.#written > 0) this.#torn = true;
    for (const { lineCount } of this.#queue.splice(0)) this.#dropped += lineCount;
    this.#queuedBytes = 0;
    this.#written = 0;
  }
}

/**
 * Another open file description of a pipe or terminal, so that O_NONBLOCK does not affect other holders of the same
 * one. A socket, or a file of another user, cannot be opened again; there poll(2) alone says how much fits.
 */
function ownDescriptor(fd: number): number {
  const status = fstatSync(fd);
  if (!status.isFIFO() && !status.isCharacterDevice()) return fd;
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return fd;
  }
}
