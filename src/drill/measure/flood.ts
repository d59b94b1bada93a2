// SPDX-License-Identifier: Apache-2.0
import { createPrng } from '../../lib/prng.ts';
import { close } from '../../platform/linux/libc.ts';
import { serveRemote } from '../remote.ts';
import { openTransmitter } from './packet-socket.ts';
import { SynFrame, type SynRoute, sourcePortCount, sourcePortMin } from './syn-frame.ts';

// A SYN flood: TCP SYNs from addresses that nobody has, each from another one, none of which is ever followed up.

export interface FloodOptions {
  readonly interface: string;
  /** The source of each is the network that the others are drawn from, in turn. */
  readonly routes: readonly SynRoute[];
  /** The number of leading bits, of the last 32 of the source address, that belong to the network. */
  readonly prefixLengths: readonly number[];
  readonly count: number;
  /** At most so many a second. */
  readonly rate: number;
}

export interface FloodReport {
  readonly sent: number;
  readonly elapsedMs: number;
}

const seed = 0x666c_6f6f;
/** Frames sent without a look at the clock. */
const burst = 64;
/** Arrears are not made good beyond this: a machine that cannot keep up sends more slowly. */
const arrearsMaxMs = 20;

serveRemote({
  /** Resolves when all have been sent. */
  run: async (options: FloodOptions): Promise<FloodReport> => {
    const fd = openTransmitter(options.interface);
    const sources = options.routes.map((route, i) => ({
      frame: new SynFrame(route),
      prefixLength: options.prefixLengths[i]!,
    }));
    const prng = createPrng(seed);
    const startedMs = performance.now();
    let dueMs = startedMs;
    let sent = 0;
    const sendBurst = (): boolean => {
      for (let i = 0; i < burst && sent < options.count; i += 1) {
        const { frame, prefixLength } = sources[sent % sources.length]!;
        frame.setHost(prng.next(), prefixLength);
        frame.setSourcePort(sourcePortMin + prng.below(sourcePortCount));
        if (!frame.send(fd)) return false;
        sent += 1;
      }
      return true;
    };
    while (sent < options.count) {
      const nowMs = performance.now();
      dueMs = Math.max(dueMs, nowMs - arrearsMaxMs);
      // A full queue ends the burst: the rest is sent later.
      while (dueMs <= nowMs && sent < options.count && sendBurst()) dueMs += (1_000 * burst) / options.rate;
      // In between, requests are received and other processes can run.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    close(fd);
    return { sent, elapsedMs: performance.now() - startedMs };
  },
});
