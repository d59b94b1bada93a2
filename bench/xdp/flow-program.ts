// SPDX-License-Identifier: Apache-2.0
import {
  add,
  addImmediate,
  andImmediate,
  call,
  exit,
  Helper,
  type Instruction,
  jump,
  jumpIfGreater,
  jumpIfNotZero,
  load32,
  load64,
  loadMapValue,
  move,
  moveImmediate,
  multiplyImmediate,
  shiftLeft,
  shiftRight,
  store8,
  store16,
  store64,
  storeImmediate32,
  toBigEndian16,
  xdpDrop,
  xor,
  xorImmediate,
} from '../bpf.ts';

/** The shape of an order's packets. */
export interface FlowShape {
  readonly family: 'ipv4' | 'ipv6';
  readonly protocol: 'udp' | 'tcp';
  readonly sourceMac: string;
  readonly destinationMac: string;
  /** 4 or 16 bytes. The varying end is the source of `in`, and the destination of `out`. */
  readonly clientBase: readonly number[];
  readonly fixedAddress: readonly number[];
  readonly fixedPort: number;
  /** `in`: clients to a virtual address. `out`: a real server to clients. */
  readonly direction: 'in' | 'out';
  readonly interfaceIndex: number;
  /** Flows are drawn at random from this many; `sequence`: each in turn, `packetsPerFlow` packets of each together. */
  readonly flows: number;
  readonly order: 'random' | 'sequence';
  readonly packetsPerFlow: 1 | 2;
  /** `handshake`: SYN, then ACK. */
  readonly flags: 'ack' | 'syn' | 'synAck' | 'handshake';
}

/** The words that the program shares with who runs it: sent, first and last time, random state, first flow. */
export const Word = { sent: 0, firstNs: 1, lastNs: 2, state: 3, start: 4 } as const;
export const wordCount = 5;

/** Without the checksum that a wire adds. */
const frameLengthMin = 60;
const firstClientPort = 1024;
/** Flows of one client address. */
const portBits = 14;
/** How often the clock is looked at, in packets. */
const clockEvery = 64;
const [context, words, flow, count] = [6, 9, 8, 7];

/** Sends a packet of the next flow. Pages are recycled as the last receiver left them, so all bytes are written. */
export function flowProgram(shape: FlowShape, wordsFd: number): Instruction[] {
  const frame = templateFrame(shape);
  return [
    move(context, 1),
    ...loadMapValue(words, wordsFd),
    ...countAndTime(),
    ...chooseFlow(shape),
    ...writePacket(shape, frame),
    moveImmediate(1, shape.interfaceIndex),
    moveImmediate(2, 0),
    call(Helper.redirect),
    exit(),
  ];
}

/** The shortest Ethernet frame, without checksum, unless headers need more. */
export function templateFrame(shape: FlowShape): Uint8Array {
  const ipLength = shape.family === 'ipv4' ? 20 : 40;
  const transportLength = shape.protocol === 'tcp' ? 20 : 8;
  const frame = new Uint8Array(Math.max(frameLengthMin, 14 + ipLength + transportLength));
  const view = new DataView(frame.buffer);
  const [source, destination] =
    shape.direction === 'in' ? [shape.clientBase, shape.fixedAddress] : [shape.fixedAddress, shape.clientBase];
  frame.set(macBytes(shape.destinationMac), 0);
  frame.set(macBytes(shape.sourceMac), 6);
  const transport = 14 + ipLength;
  // TCP acknowledgements are shorter than the shortest frame: the rest is padding.
  const payload = shape.protocol === 'udp' ? frame.length - transport : transportLength;
  if (shape.family === 'ipv4') {
    view.setUint16(12, 0x0800);
    view.setUint16(14, 0x4500);
    view.setUint16(16, 20 + payload);
    view.setUint16(20, 0x4000);
    view.setUint16(22, (64 << 8) | (shape.protocol === 'tcp' ? 6 : 17));
    frame.set(source, 26);
    frame.set(destination, 30);
  } else {
    view.setUint16(12, 0x86dd);
    view.setUint16(14, 0x6000);
    view.setUint16(18, payload);
    view.setUint16(20, ((shape.protocol === 'tcp' ? 6 : 17) << 8) | 64);
    frame.set(source, 22);
    frame.set(destination, 38);
  }
  view.setUint16(transport + (shape.direction === 'in' ? 2 : 0), shape.fixedPort);
  if (shape.protocol === 'udp') {
    view.setUint16(transport + 4, payload);
  } else {
    view.setUint32(transport + 4, 1);
    view.setUint32(transport + 8, 1);
    frame[transport + 12] = 0x50;
    frame[transport + 13] = shape.flags === 'ack' ? 0x10 : shape.flags === 'syn' ? 0x02 : 0x12;
    view.setUint16(transport + 14, 0xffff);
  }
  return frame;
}

function countAndTime(): Instruction[] {
  const look = [
    call(Helper.ktimeGetNs),
    load64(1, words, Word.firstNs * 8),
    jumpIfNotZero(1, 1),
    store64(words, Word.firstNs * 8, 0),
    store64(words, Word.lastNs * 8, 0),
  ];
  return [
    load64(count, words, Word.sent * 8),
    move(0, count),
    andImmediate(0, clockEvery - 1),
    jumpIfNotZero(0, look.length),
    ...look,
    move(0, count),
    addImmediate(0, 1),
    store64(words, Word.sent * 8, 0),
  ];
}

/** Leaves the number of a flow in r8, by xorshift64 when at random. */
function chooseFlow({ order, flows, packetsPerFlow }: FlowShape): Instruction[] {
  if (order === 'sequence') {
    return [
      load64(flow, words, Word.start * 8),
      move(0, count),
      ...(packetsPerFlow === 2 ? [shiftRight(0, 1)] : []),
      add(flow, 0),
    ];
  }
  const shifted = (shift: Instruction): Instruction[] => [move(0, flow), shift, xor(flow, 0)];
  return [
    load64(flow, words, Word.state * 8),
    ...shifted(shiftLeft(0, 13)),
    ...shifted(shiftRight(0, 7)),
    ...shifted(shiftLeft(0, 17)),
    store64(words, Word.state * 8, flow),
    shiftRight(flow, 32),
    multiplyImmediate(flow, flows),
    shiftRight(flow, 32),
  ];
}

function writePacket(shape: FlowShape, frame: Uint8Array): Instruction[] {
  const view = new DataView(frame.buffer);
  const [data, end, host, port, sum, flags] = [2, 3, 4, 5, 1, 0];
  const ipLength = shape.family === 'ipv4' ? 20 : 40;
  const transport = 14 + ipLength;
  const isIn = shape.direction === 'in';
  const hostAt = shape.family === 'ipv4' ? (isIn ? 28 : 32) : isIn ? 36 : 52;
  const portAt = transport + (isIn ? 0 : 2);
  const isTcp = shape.protocol === 'tcp';
  const checksumAt = transport + (isTcp ? 16 : 6);
  const length = view.getUint16(shape.family === 'ipv4' ? 16 : 18) - (shape.family === 'ipv4' ? 20 : 0);
  const transportSum =
    sumOf(view, shape.family === 'ipv4' ? 26 : 22, transport + length) + swap(length) + swap(isTcp ? 6 : 17);
  const handshake = isTcp && shape.flags === 'handshake';
  return [
    load32(data, context, 0),
    load32(end, context, 4),
    move(sum, data),
    addImmediate(sum, frame.length),
    jumpIfGreater(sum, end, 1),
    jump(2),
    moveImmediate(0, xdpDrop),
    exit(),
    ...writeTemplate(frame, data),
    move(host, flow),
    shiftRight(host, portBits),
    toBigEndian16(host),
    move(port, flow),
    andImmediate(port, (1 << portBits) - 1),
    addImmediate(port, firstClientPort),
    toBigEndian16(port),
    store16(data, hostAt, host),
    store16(data, portAt, port),
    ...(shape.family === 'ipv4'
      ? [
          moveImmediate(sum, folded(sumOf(view, 14, 34))),
          add(sum, host),
          ...foldOnce(sum, 3),
          xorImmediate(sum, 0xffff),
          store16(data, 24, sum),
        ]
      : []),
    moveImmediate(sum, folded(transportSum - (handshake ? 0x1200 : 0))),
    add(sum, host),
    add(sum, port),
    ...(handshake
      ? [
          move(flags, count),
          andImmediate(flags, 1),
          multiplyImmediate(flags, 14),
          addImmediate(flags, 2),
          store8(data, transport + 13, flags),
          shiftLeft(flags, 8),
          add(sum, flags),
        ]
      : []),
    ...foldOnce(sum, 3),
    ...foldOnce(sum, 3),
    xorImmediate(sum, 0xffff),
    store16(data, checksumAt, sum),
  ];
}

function writeTemplate(frame: Uint8Array, data: number): Instruction[] {
  const padded = new Uint8Array(Math.ceil(frame.length / 4) * 4);
  padded.set(frame);
  const view = new DataView(padded.buffer);
  const stores: Instruction[] = [];
  for (let at = 0; at + 4 <= frame.length; at += 4) stores.push(storeImmediate32(data, at, view.getInt32(at, true)));
  if (frame.length % 4 !== 0)
    stores.push(storeImmediate32(data, frame.length - 4, new DataView(frame.buffer).getInt32(frame.length - 4, true)));
  return stores;
}

/** In the order of bytes in memory, as a little-endian machine adds (RFC 1071 section 2: the sum is the same). */
function sumOf(view: DataView, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at + 1 < to; at += 2) sum += view.getUint16(at, true);
  return sum;
}

function folded(sum: number): number {
  let rest = sum;
  while (rest > 0xffff) rest = (rest & 0xffff) + Math.floor(rest / 0x10000);
  return rest;
}

function foldOnce(sum: number, scratch: number): Instruction[] {
  return [move(scratch, sum), shiftRight(scratch, 16), andImmediate(sum, 0xffff), add(sum, scratch)];
}

function swap(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}
