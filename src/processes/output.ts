// SPDX-License-Identifier: Apache-2.0
import { pino } from 'pino';
import type { Log } from '../lib/log.ts';
import { LineWriter } from '../platform/linux/process/line-writer.ts';

/** A director's output: JSON lines on stdout, and sentences for people on stderr. Writing never waits for a reader. */
export interface DirectorOutput {
  readonly log: Log;
  readonly complain: (sentence: string) => void;
  /** Gives the readers a last chance of `readerPatienceMs`. */
  readonly close: () => Promise<void>;
}

/** How long the end of a director waits for readers of its output. */
const readerPatienceMs = 2_000;

export function openOutput(): DirectorOutput {
  const settings = { base: { pid: process.pid } };
  const output = new LineWriter(1, {
    noticeOf: (dropped) => {
      const lines: string[] = [];
      const sentence = `${countLines(dropped)} of this log dropped here: the reader did not take more`;
      pino(settings, { write: (line: string) => void lines.push(line) }).warn({ dropped }, sentence);
      return lines.join('');
    },
  });
  const complaints = new LineWriter(2, { noticeOf: (dropped) => `${countLines(dropped)} dropped here\n` });
  const logger = pino(settings, output);
  const complain = (sentence: string): void => complaints.write(`${sentence}\n`);
  return {
    log: (level, message, fields = {}) => logger[level](fields, message),
    complain,
    close: async () => {
      await Promise.all([output.drain(readerPatienceMs), complaints.drain(readerPatienceMs)]);
    },
  };
}

function countLines(count: number): string {
  return count === 1 ? '1 line' : `${count} lines`;
}
