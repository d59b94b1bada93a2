// SPDX-License-Identifier: Apache-2.0
import { createPrng } from '../../lib/prng.ts';
import { close } from '../../platform/linux/libc.ts';
import { serveRemote } from '../remote.ts';
import { type PaceReport, sendPaced } from './pace.ts';
import { openTransmitter } from './packet-socket.ts';
import { SegmentFrame, type SegmentKind, type SegmentRoute, sourcePortCount, sourcePortMin } from './segment-frame.ts';

// A blind attack: segments in the name of a client that exists, from every port that it may have, with sequence numbers
// that are guessed. The attacker knows the client's address and sees none of its packets.

export interface SweepOptions {
  readonly interface: string;
  readonly routes: readonly SegmentRoute[];
  /** One sweep over all ports for each kind, in this order. */
  readonly kinds: readonly SegmentKind[];
  readonly rate: number;
}

const seed = 0x7377_6570;

serveRemote({
  run: async ({ interface: name, routes, kinds, rate }: SweepOptions): Promise<PaceReport> => {
    const fd = openTransmitter(name);
    const sweeps = kinds.flatMap((kind) => routes.map((route) => new SegmentFrame(route, kind)));
    const prng = createPrng(seed);
    const report = await sendPaced(sweeps.length * sourcePortCount, rate, (number) => {
      const frame = sweeps[Math.floor(number / sourcePortCount)]!;
      frame.setSourcePort(sourcePortMin + (number % sourcePortCount));
      frame.setSequence(prng.next());
      return frame.send(fd);
    });
    close(fd);
    return report;
  },
});
