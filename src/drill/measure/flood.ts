// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../../lib/ip-address.ts';
import { createPrng } from '../../lib/prng.ts';
import { close } from '../../platform/linux/libc.ts';
import { serveRemote } from '../remote.ts';
import { type PaceReport, sendPaced } from './pace.ts';
import { openTransmitter } from './packet-socket.ts';
import { SegmentFrame, type SegmentKind, type SegmentRoute, sourcePortCount, sourcePortMin } from './segment-frame.ts';

// A flood: segments from addresses that nobody has, each from another one. None of them is ever followed up, except that a
// handshake may be completed.

export interface FloodOptions {
  readonly interface: string;
  /** The source of each is the network that the others are drawn from, in turn. */
  readonly routes: readonly FloodRoute[];
  readonly count: number;
  /** At most so many a second. */
  readonly rate: number;
}

export interface FloodRoute extends SegmentRoute {
  /** The number of leading bits, of the last 32 of the source address, that belong to the network. */
  readonly prefixLength: number;
  readonly kind: SegmentKind;
  /** From the sender of the last SYN of this family, as if it had heard the answer. */
  readonly completesHandshake: boolean;
}

interface Sender {
  readonly host: number;
  readonly port: number;
}

const seed = 0x666c_6f6f;

serveRemote({
  /** Resolves when all have been sent. */
  run: async (options: FloodOptions): Promise<PaceReport> => {
    const fd = openTransmitter(options.interface);
    const sources = options.routes.map((route) => ({ frame: new SegmentFrame(route, route.kind), ...route }));
    const prng = createPrng(seed);
    const beginners: Partial<Record<Family, Sender>> = {};
    const report = await sendPaced(options.count, options.rate, (number) => {
      const { frame, prefixLength, kind, completesHandshake } = sources[number % sources.length]!;
      const drawn = { host: prng.next(), port: sourcePortMin + prng.below(sourcePortCount) };
      const sender = completesHandshake ? (beginners[frame.family] ?? drawn) : drawn;
      if (kind === 'syn') beginners[frame.family] = sender;
      frame.setHost(sender.host, prefixLength);
      frame.setSourcePort(sender.port);
      if (kind !== 'syn' && kind !== 'udp') frame.setSequence(prng.next());
      return frame.send(fd);
    });
    close(fd);
    return report;
  },
});
