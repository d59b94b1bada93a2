// SPDX-License-Identifier: Apache-2.0
import {
  checked,
  close,
  if_nametoindex,
  MAP_SHARED,
  memoryAt,
  mmap,
  SO_ATTACH_FILTER,
  SOL_SOCKET,
} from '../../platform/linux/libc.ts';
import {
  bindPacketSocket,
  ETH_P_ALL,
  openPacketSocket,
  PACKET_IGNORE_OUTGOING,
  PACKET_RX_RING,
  PACKET_VERSION,
  setPacketOption,
} from '../../platform/linux/packet/packet-socket.ts';
import { attachFilter, type Instruction } from '../../platform/linux/packet/socket-filter.ts';

/** Reads frames that pass a filter. */
export interface Arrivals {
  /** Calls `note` with each waiting frame's start (valid during the call) and arrival time (milliseconds since 1970). */
  drain(note: (frame: Uint8Array, realtimeMs: number) => void): void;
  close(): void;
}

// linux/if_packet.h
const TPACKET_V2 = 1;
const TP_STATUS_USER = 1;

const frameSize = 256;
const blockSize = 65_536;
const blockCount = 64;
const ringLength = blockSize * blockCount;

/** A socket that only transmits whole frames on an interface. */
export function openTransmitter(interfaceName: string): number {
  const fd = openPacketSocket();
  bindPacketSocket(fd, if_nametoindex(interfaceName), 0, interfaceName);
  return fd;
}

/** Watches what arrives on an interface. The ring holds 16 384 frames between two drains. */
export function watchArrivals(interfaceName: string, filter: readonly Instruction[]): Arrivals {
  const fd = openPacketSocket();
  const purpose = `capture on ${interfaceName}`;
  setPacketOption(fd, 'PACKET_VERSION', PACKET_VERSION, TPACKET_V2);
  setPacketOption(fd, 'PACKET_IGNORE_OUTGOING', PACKET_IGNORE_OUTGOING, 1);
  attachFilter(filter, (program) => setPacketOption(fd, 'SO_ATTACH_FILTER', SO_ATTACH_FILTER, program, SOL_SOCKET));
  const request = Uint32Array.of(blockSize, blockCount, frameSize, ringLength / frameSize);
  setPacketOption(fd, 'PACKET_RX_RING', PACKET_RX_RING, new Uint8Array(request.buffer));
  const memory = memoryAt(mmap(0, ringLength, MAP_SHARED, fd, purpose), ringLength);
  const words = new Int32Array(memory);
  bindPacketSocket(fd, if_nametoindex(interfaceName), ETH_P_ALL, interfaceName);
  let next = 0;
  return {
    drain: (note) => {
      for (;;) {
        // struct tpacket2_hdr: status, len, snaplen, mac and net offsets, seconds, nanoseconds.
        const word = (next * frameSize) / 4;
        if ((Atomics.load(words, word) & TP_STATUS_USER) === 0) return;
        // The third word: captured length; the fourth: offset of the frame in its low half.
        const start = next * frameSize + (words[word + 3]! & 0xffff);
        note(
          new Uint8Array(memory, start, words[word + 2]!),
          (words[word + 4]! >>> 0) * 1000 + (words[word + 5]! >>> 0) / 1e6,
        );
        Atomics.store(words, word, 0);
        next = (next + 1) % (ringLength / frameSize);
      }
    },
    close: () => checked('close', close(fd), purpose),
  };
}
