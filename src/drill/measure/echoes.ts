// SPDX-License-Identifier: Apache-2.0

/** The questions of a stretch of time, and their losses. */
export interface EchoReport {
  readonly sent: number;
  readonly lost: number;
  /** From the first of the most questions lost in a row until the next that was answered. 0 when none was lost. */
  readonly gapMs: number;
  /** When that first one was sent, by the clock of `send`. Undefined when none was lost. */
  readonly gapFromMs: number | undefined;
}

/** Numbered questions, when each was sent, and which were answered. */
export interface Echoes {
  /** Gives the number of the question, from 0 one by one. */
  send(nowMs: number): number;
  answer(sequence: number): void;
  /** The number of questions so far. */
  readonly count: number;
  /** Reports on the questions numbered `from` to before `to`. A row of losses without an end lasts to `nowMs`. */
  report(from: number, to: number, nowMs: number): EchoReport;
}

export function createEchoes(): Echoes {
  const sentAtMs: number[] = [];
  const answered: boolean[] = [];
  return {
    send: (nowMs) => {
      answered.push(false);
      return sentAtMs.push(nowMs) - 1;
    },
    answer: (sequence) => {
      if (sequence < answered.length) answered[sequence] = true;
    },
    get count() {
      return answered.length;
    },
    report: (from, to, nowMs) => {
      let lost = 0;
      let gapMs = 0;
      let gapFromMs: number | undefined;
      let row = 0;
      for (let i = from; i < to; i += 1) {
        row = answered[i] ? 0 : row + 1;
        if (row === 0) continue;
        lost += 1;
        const fromMs = sentAtMs[i - row + 1]!;
        const lengthMs = (sentAtMs[i + 1] ?? nowMs) - fromMs;
        if (gapFromMs !== undefined && lengthMs <= gapMs) continue;
        gapMs = lengthMs;
        gapFromMs = fromMs;
      }
      return { sent: to - from, lost, gapMs, gapFromMs };
    },
  };
}
