// SPDX-License-Identifier: Apache-2.0
import {
  AF_PACKET,
  addressOf,
  bindSocket,
  checked,
  close,
  if_nametoindex,
  MAP_SHARED,
  memoryAt,
  mmap,
  type PinnedMemory,
  pinnedMemory,
  SO_ATTACH_FILTER,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  setsockopt,
  socket,
} from '../../platform/linux/libc.ts';

/** Reads frames that pass a filter. */
export interface Arrivals {
  /** Calls `note` with each waiting frame's start (valid during the call) and arrival time (milliseconds since 1970). */
  drain(note: (frame: Uint8Array, realtimeMs: number) => void): void;
  close(): void;
}

/** One instruction of a classic BPF program: code, jt, jf, k (linux/filter.h). */
export type FilterInstruction = readonly [code: number, jt: number, jf: number, k: number];

// linux/if_packet.h, linux/if_ether.h
const SOL_PACKET = 263;
const PACKET_RX_RING = 5;
const PACKET_VERSION = 10;
const PACKET_IGNORE_OUTGOING = 23;
const TPACKET_V2 = 1;
const TP_STATUS_USER = 1;
const ETH_P_ALL = 3;

const frameSize = 256;
const blockSize = 65_536;
const blockCount = 64;
const ringLength = blockSize * blockCount;

/** A socket that only transmits whole frames on an interface. */
export function openTransmitter(interfaceName: string): number {
  const fd = openSocket();
  bindSocket(fd, linkAddress(interfaceName, 0), `send frames on ${interfaceName}`);
  return fd;
}

/** Watches what arrives on an interface. The ring holds 16 384 frames between two drains. */
export function watchArrivals(interfaceName: string, filter: readonly FilterInstruction[]): Arrivals {
  const fd = openSocket();
  const purpose = `capture on ${interfaceName}`;
  const set = (name: number, value: Uint8Array | number): number =>
    checked('setsockopt', setsockopt(fd, SOL_PACKET, name, value), purpose);
  set(PACKET_VERSION, TPACKET_V2);
  set(PACKET_IGNORE_OUTGOING, 1);
  attachFilter(fd, filter);
  const request = Uint32Array.of(blockSize, blockCount, frameSize, ringLength / frameSize);
  set(PACKET_RX_RING, new Uint8Array(request.buffer));
  const memory = memoryAt(mmap(0, ringLength, MAP_SHARED, fd, purpose), ringLength);
  const words = new Int32Array(memory);
  bindSocket(fd, linkAddress(interfaceName, ETH_P_ALL), purpose);
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

function openSocket(): number {
  // Protocol 0: nothing arrives before the socket is bound to its interface.
  const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
  return checked('socket', socket(AF_PACKET, type, 0), 'open a packet socket');
}

/** struct sockaddr_ll: family, protocol (network order), interface index, then fields that bind does not read. */
function linkAddress(interfaceName: string, protocol: number): Uint8Array {
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, if_nametoindex(interfaceName), true);
  return address;
}

function attachFilter(fd: number, filter: readonly FilterInstruction[]): void {
  const program = encodeFilter(filter);
  // struct sock_fprog: a count, and at the next pointer boundary the instructions.
  const header = new Uint8Array(16);
  const view = new DataView(header.buffer);
  view.setUint16(0, filter.length, true);
  view.setBigUint64(8, BigInt(addressOf(program.bytes)), true);
  checked('setsockopt', setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, header), 'filter captured frames');
}

function encodeFilter(filter: readonly FilterInstruction[]): PinnedMemory {
  const memory = pinnedMemory(filter.length * 8);
  const view = new DataView(memory.bytes.buffer);
  for (const [i, [code, jt, jf, k]] of filter.entries()) {
    view.setUint16(8 * i, code, true);
    view.setUint8(8 * i + 2, jt);
    view.setUint8(8 * i + 3, jf);
    view.setUint32(8 * i + 4, k, true);
  }
  return memory;
}
