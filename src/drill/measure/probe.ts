// SPDX-License-Identifier: Apache-2.0
import { serveRemote } from '../remote.ts';
import { openTransmitter } from './packet-socket.ts';
import { SegmentFrame, type SegmentRoute, sourcePortCount, sourcePortMin } from './segment-frame.ts';

// One TCP SYN every millisecond to the virtual address, each from another port, so that the wire shows to the
// millisecond when a director forwards. Raw frames: the kernel would keep state and retransmit.

export interface ProbeOptions extends SegmentRoute {
  readonly interface: string;
}

/** After a hold-up at most so many are sent at once: the rest was missed, and a burst would measure nothing. */
const burstMax = 5;

let timer: NodeJS.Timeout | undefined;

serveRemote({
  start: (options: ProbeOptions) => {
    const fd = openTransmitter(options.interface);
    const frame = new SegmentFrame(options);
    let sent = 0;
    let due = performance.now();
    timer = setInterval(() => {
      const nowMs = performance.now();
      due = Math.max(due, nowMs - burstMax);
      for (; due <= nowMs; due += 1) {
        frame.setSourcePort(sourcePortMin + (sent % sourcePortCount));
        frame.send(fd);
        sent += 1;
      }
    }, 1);
  },
  stop: () => clearInterval(timer),
});
