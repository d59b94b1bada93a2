// SPDX-License-Identifier: Apache-2.0
import { readU16 } from '../../lib/bytes.ts';
import { createTimes } from './times.ts';

// The packets of sessions that are opened all the time, as they left the directors: kept for the few that break.

/** A TCP segment that left a director. */
export interface TracedPacket {
  readonly atMs: number;
  readonly director: string;
  /** `forwarded`: from the client towards a real server. `returned`: towards the client. */
  readonly way: 'forwarded' | 'returned';
  /** Such as `SYN ACK`. */
  readonly flags: string;
}

export interface OpeningPacket {
  readonly clientPort: number;
  /** The flags of the TCP header, bit 15 for a packet towards the client. */
  readonly marks: number;
}

const returnedMark = 0x8000;
const flagNames = ['FIN', 'SYN', 'RST', 'PSH', 'ACK'] as const;

/** Undefined for everything but TCP from or to the port. */
export function openingPacketOf(frame: Uint8Array, port: number): OpeningPacket | undefined {
  const tcp = tcpOffsetOf(frame);
  if (tcp === undefined || frame.length < tcp + 14) return undefined;
  const [from, to] = [readU16(frame, tcp), readU16(frame, tcp + 2)];
  const flags = frame[tcp + 13]! & 0x1f;
  if (to === port) return { clientPort: from, marks: flags };
  return from === port ? { clientPort: to, marks: flags | returnedMark } : undefined;
}

export interface OpeningTrace {
  add(packet: OpeningPacket, atMs: number): void;
  clear(): void;
  packetsOf(clientPorts: ReadonlySet<number>, director: string): ReadonlyMap<number, TracedPacket[]>;
}

export function createOpeningTrace(): OpeningTrace {
  const ports = createTimes();
  const marks = createTimes();
  return {
    add: (packet, atMs) => {
      ports.add(atMs, packet.clientPort);
      marks.add(atMs, packet.marks);
    },
    clear: () => {
      ports.clear();
      marks.clear();
    },
    packetsOf: (clientPorts, director) => {
      const found = new Map<number, TracedPacket[]>();
      const [times, tags, flags] = [ports.times(), ports.tags(), marks.tags()];
      for (const [i, port] of tags.entries()) {
        if (!clientPorts.has(port)) continue;
        const way = (flags[i]! & returnedMark) === 0 ? 'forwarded' : 'returned';
        const packet = { atMs: times[i]!, director, way, flags: nameFlags(flags[i]!) } as const;
        found.set(port, [...(found.get(port) ?? []), packet]);
      }
      return found;
    },
  };
}

/** RFC 791, RFC 8200, RFC 9293; extension headers do not occur here. */
function tcpOffsetOf(frame: Uint8Array): number | undefined {
  if (frame.length < 34) return undefined;
  const type = readU16(frame, 12);
  if (type === 0x0800) return frame[23] === 6 ? 14 + (frame[14]! & 0x0f) * 4 : undefined;
  return type === 0x86dd && frame[20] === 6 ? 54 : undefined;
}

function nameFlags(marks: number): string {
  return flagNames.filter((_, bit) => (marks & (1 << bit)) !== 0 && flagNames[bit] !== 'PSH').join(' ');
}
