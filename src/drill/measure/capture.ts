// SPDX-License-Identifier: Apache-2.0
import { readU32 } from '../../lib/bytes.ts';
import { ipAddressBytes, parseIpAddress } from '../../lib/ip-address.ts';
import { serveRemote } from '../remote.ts';
import { type FilterInstruction, type FrameTimes, watchArrivals } from './packet-socket.ts';

// Runs in the switch: notes when a packet of a client left each director towards the real servers. It listens on the
// directors' own ports, so which director forwarded a packet is beyond doubt, whatever addresses the packet carries.

export interface CaptureOptions {
  /** The switch's port of each director on the real servers' segment. */
  readonly ports: Readonly<Record<string, string>>;
  /** Packets from here are clients' packets; directors' own (health checks, VRRP) come from elsewhere. */
  readonly clients: { readonly address: string; readonly prefixLength: number };
}

/** Monotonic milliseconds of every packet each director forwarded since `clear`, in order. */
export type ForwardingTimes = Readonly<Record<string, Float64Array>>;

interface Watched {
  readonly frames: FrameTimes;
  times: Float64Array;
  count: number;
}

const drainEveryMs = 10;

const watched = new Map<string, Watched>();
let offsetMs = 0;

serveRemote({
  start: ({ ports, clients }: CaptureOptions) => {
    offsetMs = measureOffsetMs();
    const filter = sourceFilter(clients);
    for (const [director, port] of Object.entries(ports)) {
      watched.set(director, { frames: watchArrivals(port, filter), times: new Float64Array(4_096), count: 0 });
    }
    setInterval(drain, drainEveryMs);
  },
  clear: () => {
    drain();
    for (const director of watched.values()) director.count = 0;
  },
  read: (): ForwardingTimes => {
    drain();
    return Object.fromEntries([...watched].map(([name, { times, count }]) => [name, times.slice(0, count)]));
  },
  /** Waits until a director forwards. Gives when it did so first since `clear`; undefined when it does not. */
  awaitForwarding: (director: string, timeoutMs: number) =>
    new Promise<number | undefined>((resolve) => {
      const givenUpMs = performance.now() + timeoutMs;
      const timer = setInterval(() => {
        const { times, count } = watched.get(director)!;
        if (count === 0 && performance.now() < givenUpMs) return;
        clearInterval(timer);
        resolve(count === 0 ? undefined : times[0]);
      }, drainEveryMs);
    }),
});

function drain(): void {
  for (const director of watched.values()) director.frames.drain((realtimeMs) => note(director, realtimeMs - offsetMs));
}

function note(director: Watched, monotonicMs: number): void {
  if (director.count === director.times.length) {
    const larger = new Float64Array(director.times.length * 2);
    larger.set(director.times);
    director.times = larger;
  }
  director.times[director.count] = monotonicMs;
  director.count += 1;
}

/** The kernel stamps frames with CLOCK_REALTIME; all else in the drill is CLOCK_MONOTONIC. */
function measureOffsetMs(): number {
  const before = Date.now();
  // Date.now() counts whole milliseconds, so the offset is read in the moment of its change.
  while (Date.now() === before);
  return Date.now() - Number(process.hrtime.bigint()) / 1e6;
}

/** IPv4 from a network of clients; everything else is not even copied into the ring. */
function sourceFilter({ address, prefixLength }: CaptureOptions['clients']): FilterInstruction[] {
  const network = readU32(ipAddressBytes(parseIpAddress(address)!), 0);
  const mask = prefixLength === 0 ? 0 : (0xffff_ffff << (32 - prefixLength)) >>> 0;
  return [
    [0x28, 0, 0, 12], // ldh [12]: EtherType
    [0x15, 0, 4, 0x0800], // jeq IPv4
    [0x20, 0, 0, 26], // ld [26]: source address
    [0x54, 0, 0, mask], // and
    [0x15, 0, 1, network], // jeq
    [0x06, 0, 0, 64], // ret 64
    [0x06, 0, 0, 0], // ret 0
  ];
}
