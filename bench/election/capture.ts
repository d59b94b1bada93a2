// SPDX-License-Identifier: Apache-2.0
import { type Arrivals, watchArrivals } from '../../src/drill/measure/packet-socket.ts';
import type { Instruction } from '../../src/platform/linux/packet/socket-filter.ts';
import { portTo } from './ground.ts';
import { type DirectorName, directorNames, type SeenAdvertisement } from './timeliness.ts';

/** The advertisements of both directors, timed by the kernel as they enter the bridge: a late reader changes nothing. */
export interface Capture {
  /** All that have come so far; their clock is `Date.now`. */
  seen(): readonly SeenAdvertisement[];
  close(): void;
}

/** The frame's header, the IPv4 header, and what stands before the count of addresses (RFC 9568 section 5.1). */
const countOffset = 14 + 20 + 3;
const drainEveryMs = 10;

/** IPv4 of protocol 112, as far as its header of VRRP. */
const advertisementsOnly: readonly Instruction[] = [
  [0x28, 0, 0, 12], // 0: ldh [12]: EtherType
  [0x15, 0, 3, 0x0800], // 1: jeq IPv4, else 5
  [0x30, 0, 0, 23], // 2: ldb [23]: protocol
  [0x15, 0, 1, 112], // 3: jeq VRRP, else 5
  [0x06, 0, 0, 64], // 4: ret 64
  [0x06, 0, 0, 0], // 5: ret 0
];

export function openCapture(): Capture {
  const seen: SeenAdvertisement[] = [];
  const ports = directorNames.map((from): [DirectorName, Arrivals] => [
    from,
    watchArrivals(portTo(from), advertisementsOnly),
  ]);
  const drain = (): void => {
    for (const [from, port] of ports)
      port.drain((frame, atMs) => void seen.push({ atMs, from, addresses: frame[countOffset]! }));
  };
  const timer = setInterval(drain, drainEveryMs);
  return {
    seen: () => {
      drain();
      return seen;
    },
    close: () => {
      clearInterval(timer);
      for (const [, port] of ports) port.close();
    },
  };
}
