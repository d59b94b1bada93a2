// SPDX-License-Identifier: Apache-2.0
import { type Family, ipAddressBytes, parseIpAddress } from '../../lib/ip-address.ts';
import type { Instruction } from '../../platform/linux/packet/socket-filter.ts';
import { serveRemote } from '../remote.ts';
import { createOpeningTrace, type OpeningTrace, openingPacketOf, type TracedPacket } from './opening-trace.ts';
import { type Arrivals, watchArrivals } from './packet-socket.ts';
import { type Addresses, classify, type Seen, type Sighting } from './sighting.ts';
import { createTimes, type Times } from './times.ts';

// Runs in the switch: notes what left each director for the virtual addresses. It listens on the directors' own ports,
// so who has sent a frame is beyond doubt, whatever addresses it carries.

export interface CaptureOptions {
  /** The switch's ports of each director. */
  readonly ports: Readonly<Record<string, readonly string[]>>;
  /** Packets from here are clients' packets; directors' own (health checks, VRRP) come from elsewhere. */
  readonly clients: readonly { readonly address: string; readonly prefixLength: number }[];
  readonly virtualAddresses: readonly string[];
  /** The port of the service whose sessions are opened all the time. */
  readonly openingPort: number;
}

/** A sign of life for the addresses that is no forwarded packet. */
export interface Sign {
  readonly atMs: number;
  readonly kind: Exclude<Sighting, 'forwarded' | 'returned'>;
}

/** The packets of a director for the addresses of one family since `clear`: monotonic milliseconds, in order. */
export interface Sent {
  readonly forwarded: Float64Array;
  /** The client's TCP port of each forwarded packet, 0 for other protocols. */
  readonly clientPorts: Uint16Array;
  readonly returned: Float64Array;
  readonly signs: readonly Sign[];
}

export type WireReport = Readonly<Record<string, Readonly<Record<Family, Sent>>>>;

interface Notes {
  readonly forwarded: Times;
  readonly returned: Times;
  signs: Sign[];
}

interface Watched {
  arrivals: Arrivals[];
  readonly notes: Readonly<Record<Family, Notes>>;
  readonly trace: OpeningTrace;
}

const drainEveryMs = 10;

const watched = new Map<string, Watched>();
let offsetMs = 0;
let openingPort = 0;
let addresses: Addresses = { clients: [], virtual: [] };

serveRemote({
  start: ({ ports, clients, virtualAddresses, openingPort: port }: CaptureOptions) => {
    openingPort = port;
    offsetMs = measureOffsetMs();
    addresses = {
      clients: clients.map(({ address, prefixLength }) => ({ address: bytesOf(address), byteCount: prefixLength / 8 })),
      virtual: virtualAddresses.map(bytesOf),
    };
    for (const [director, names] of Object.entries(ports)) {
      const arrivals = names.map((name) => watchArrivals(name, exceptNoise));
      const notes = { ipv4: createNotes(), ipv6: createNotes() };
      watched.set(director, { arrivals, notes, trace: createOpeningTrace() });
    }
    setInterval(drain, drainEveryMs);
  },
  /** Watches a director's ports again after they were recreated. */
  watchAgain: (director: string, names: readonly string[]) => {
    drain();
    const station = watched.get(director)!;
    for (const arrivals of station.arrivals) arrivals.close();
    station.arrivals = names.map((name) => watchArrivals(name, exceptNoise));
  },
  clear: () => {
    drain();
    for (const { notes, trace } of watched.values()) {
      trace.clear();
      for (const { forwarded, returned } of Object.values(notes))
        for (const times of [forwarded, returned]) times.clear();
      for (const note of Object.values(notes)) note.signs = [];
    }
  },
  read: (): WireReport => {
    drain();
    const sent = ({ forwarded, returned, signs }: Notes): Sent => ({
      forwarded: forwarded.times(),
      clientPorts: forwarded.tags(),
      returned: returned.times(),
      signs: signs.toSorted((left, right) => left.atMs - right.atMs),
    });
    const station = ({ notes }: Watched): Record<Family, Sent> => ({ ipv4: sent(notes.ipv4), ipv6: sent(notes.ipv6) });
    return Object.fromEntries([...watched].map(([name, director]) => [name, station(director)]));
  },
  /** The packets of the sessions with these client ports since `clear`, for each port in the order of their times. */
  trace: (clientPorts: readonly number[]): ReadonlyMap<number, readonly TracedPacket[]> => {
    drain();
    const wanted = new Set(clientPorts);
    const found = [...watched].map(([director, { trace }]) => trace.packetsOf(wanted, director));
    const packetsOf = (port: number): TracedPacket[] => found.flatMap((packets) => packets.get(port) ?? []);
    return new Map(
      [...wanted].map((port) => [port, packetsOf(port).toSorted((left, right) => left.atMs - right.atMs)]),
    );
  },
  /**
   * Waits until a director forwards in each of the families, later than `sinceMs`. Gives when it last did; undefined
   * when it does not.
   */
  awaitForwarding: (director: string, families: readonly Family[], sinceMs: number, timeoutMs: number) =>
    new Promise<number | undefined>((resolve) => {
      const givenUpMs = performance.now() + timeoutMs;
      const timer = setInterval(() => {
        const { notes } = watched.get(director)!;
        const lastMs = Math.min(...families.map((family) => notes[family].forwarded.lastMs()));
        if (lastMs <= sinceMs && performance.now() < givenUpMs) return;
        clearInterval(timer);
        resolve(lastMs > sinceMs ? lastMs : undefined);
      }, drainEveryMs);
    }),
});

function createNotes(): Notes {
  return { forwarded: createTimes(), returned: createTimes(), signs: [] };
}

function drain(): void {
  for (const { arrivals, notes, trace } of watched.values()) {
    for (const port of arrivals) {
      port.drain((frame, realtimeMs) => {
        const seen = classify(frame, addresses);
        if (seen === undefined) return;
        const atMs = realtimeMs - offsetMs;
        const opening = openingPacketOf(frame, openingPort);
        if (opening !== undefined) trace.add(opening, atMs);
        // The opener's ports are its own: a session of the client may have the same one.
        note(notes[seen.family], opening === undefined ? seen : { ...seen, port: 0 }, atMs);
      });
    }
  }
}

function note({ forwarded, returned, signs }: Notes, { kind, port }: Seen, atMs: number): void {
  if (kind === 'forwarded') forwarded.add(atMs, port);
  else if (kind === 'returned') returned.add(atMs, 0);
  else signs.push({ atMs, kind });
}

function bytesOf(address: string): Uint8Array {
  return ipAddressBytes(parseIpAddress(address)!);
}

/** The kernel stamps frames with CLOCK_REALTIME; all else in the drill is CLOCK_MONOTONIC. */
function measureOffsetMs(): number {
  const before = Date.now();
  // Date.now() counts whole milliseconds, so the offset is read in the moment of its change.
  while (Date.now() === before);
  return Date.now() - Number(process.hrtime.bigint()) / 1e6;
}

/**
 * Synchronisation may fill the wire and does not matter here: UDP to a multicast address stays out of the ring. So do
 * packets from or to the networks of a flood, 198.18.0.0/15 and 2001:2::/32.
 */
const exceptNoise: readonly Instruction[] = [
  [0x28, 0, 0, 12], // 0: ldh [12]: EtherType
  [0x15, 0, 10, 0x0800], // 1: jeq IPv4, else 12
  [0x20, 0, 0, 26], // 2: ld [26]: source
  [0x54, 0, 0, 0xfffe_0000], // 3: and
  [0x15, 13, 0, 0xc612_0000], // 4: jeq 18
  [0x20, 0, 0, 30], // 5: ld [30]: destination
  [0x54, 0, 0, 0xfffe_0000], // 6: and
  [0x15, 10, 0, 0xc612_0000], // 7: jeq 18
  [0x30, 0, 0, 23], // 8: ldb [23]: protocol
  [0x15, 0, 7, 17], // 9: jeq UDP, else 17
  [0x30, 0, 0, 30], // 10: ldb [30]: first byte of the destination
  [0x35, 6, 5, 224], // 11: jge multicast: 18, else 17
  [0x15, 0, 4, 0x86dd], // 12: jeq IPv6, else 17
  [0x20, 0, 0, 22], // 13: ld [22]: source
  [0x15, 3, 0, 0x2001_0002], // 14: jeq 18
  [0x20, 0, 0, 38], // 15: ld [38]: destination
  [0x15, 1, 0, 0x2001_0002], // 16: jeq 18, else 17
  [0x06, 0, 0, 128], // 17: ret 128
  [0x06, 0, 0, 0], // 18: ret 0
];
