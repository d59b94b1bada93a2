// SPDX-License-Identifier: Apache-2.0

export interface PaceReport {
  readonly sent: number;
  readonly elapsedMs: number;
}

/** Frames sent without a look at the clock. */
const burst = 64;
/** Arrears are not made good beyond this: a machine that cannot keep up sends more slowly. */
const arrearsMaxMs = 20;

/**
 * Sends frames number 0 to `count` − 1, at most `rate` a second. `send` gives false when a queue on the way is full: the
 * frame is sent again later. Other requests are served in between.
 */
export async function sendPaced(count: number, rate: number, send: (number: number) => boolean): Promise<PaceReport> {
  const startedMs = performance.now();
  let dueMs = startedMs;
  let sent = 0;
  const sendBurst = (): boolean => {
    for (let i = 0; i < burst && sent < count; i += 1) {
      if (!send(sent)) return false;
      sent += 1;
    }
    return true;
  };
  while (sent < count) {
    const nowMs = performance.now();
    dueMs = Math.max(dueMs, nowMs - arrearsMaxMs);
    // A full queue ends the burst: the rest is sent later.
    while (dueMs <= nowMs && sent < count && sendBurst()) dueMs += (1_000 * burst) / rate;
    // In between, requests are received and other processes can run.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return { sent, elapsedMs: performance.now() - startedMs };
}
