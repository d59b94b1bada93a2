// SPDX-License-Identifier: Apache-2.0
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
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
  loadXdpProgram,
  move,
  moveImmediate,
  remainder32,
  runLiveFrames,
  sharedWords,
  shiftRight,
  store16,
  store64,
  storeImmediate16,
  storeImmediate32,
  toBigEndian16,
  xdpDrop,
  xorImmediate,
} from './bpf.ts';

// A process of its own, pinned by the process that starts it: sends 64-byte UDP frames (60 and the checksum that a wire adds)
// through the kernel's own generator. Takes one order a line on its standard input and answers with what it sent, both
// as JSON. While it waits for orders it keeps its processor busy: the program itself watches the clock.

export interface GeneratorShape {
  readonly interfaceIndex: number;
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly source: string;
  readonly destination: string;
  readonly destinationPort: number;
}

export interface GeneratorOrder {
  /** Source ports are drawn at random from so many. */
  readonly flows: number;
  /** Packets a second. */
  readonly rate: number;
  readonly durationMs: number;
}

export interface GeneratorResult {
  readonly sent: number;
  readonly elapsedMs: number;
}

const frameLength = 60;
const headersLength = 42;
const udpPayloadLength = frameLength - headersLength;
const firstSourcePort = 1024;
/** Packets come in small bursts, as from a network card that interrupts for several at once. */
const burst = 32;
/** After a stall the generator catches up on this much at most: more would measure queues, not speed. */
const arrearsNs = 2_000_000;
const never = 0xffff_ffff_ffff_ffffn;
/** The words that the program shares with this process. */
const Word = { burstNs: 0, nextNs: 1, credit: 2, sent: 3, flows: 4 } as const;
const wordCount = 5;

await main(JSON.parse(process.argv[2] ?? '') as GeneratorShape);

async function main(shape: GeneratorShape): Promise<void> {
  const { fd, words } = sharedWords(wordCount);
  words[Word.flows] = 1n;
  words[Word.nextNs] = never;
  const frame = templateFrame(shape);
  runLiveFrames(loadXdpProgram(program(frame, shape.interfaceIndex, fd)), frame);
  for await (const line of createInterface({ input: process.stdin })) {
    const result = await generate(JSON.parse(line) as GeneratorOrder, words);
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
  // An orderly exit would wait for the thread that runs the program.
  process.kill(process.pid, 'SIGKILL');
}

async function generate({ flows, rate, durationMs }: GeneratorOrder, words: BigUint64Array): Promise<GeneratorResult> {
  words[Word.flows] = BigInt(flows);
  words[Word.burstNs] = BigInt(Math.round((burst * 1e9) / rate));
  const before = words[Word.sent]!;
  const startMs = performance.now();
  words[Word.nextNs] = process.hrtime.bigint();
  await delay(durationMs);
  words[Word.nextNs] = never;
  const elapsedMs = performance.now() - startMs;
  // The program may have been about to write the next moment itself.
  await delay(1);
  words[Word.nextNs] = never;
  return { sent: Number(words[Word.sent]! - before), elapsedMs };
}

/** Pages are recycled with what the last receiver made of them: every header byte is written for every packet. */
function program(frame: Uint8Array, interfaceIndex: number, wordsFd: number): Instruction[] {
  const [context, words, port, sum] = [6, 9, 7, 8];
  return [
    move(context, 1),
    ...loadMapValue(words, wordsFd),
    ...pace(words),
    ...writeHeaders(frame, { context, words, port, sum }),
    moveImmediate(1, interfaceIndex),
    moveImmediate(2, 0),
    call(Helper.redirect),
    exit(),
  ];
}

/** Goes on when a packet is due, and drops the frame otherwise. */
function pace(words: number): Instruction[] {
  const [now, next, length, earliest] = [0, 1, 2, 3];
  const begin = [
    load64(length, words, Word.burstNs * 8),
    add(next, length),
    move(earliest, now),
    addImmediate(earliest, -arrearsNs),
    jumpIfGreater(next, earliest, 1),
    move(next, earliest),
    store64(words, Word.nextNs * 8, next),
    moveImmediate(0, burst),
  ];
  const clock = [
    call(Helper.ktimeGetNs),
    load64(next, words, Word.nextNs * 8),
    jumpIfGreater(next, now, 1),
    jump(2),
    moveImmediate(0, xdpDrop),
    exit(),
    ...begin,
  ];
  return [
    load64(0, words, Word.credit * 8),
    jumpIfNotZero(0, clock.length),
    ...clock,
    addImmediate(0, -1),
    store64(words, Word.credit * 8, 0),
    load64(0, words, Word.sent * 8),
    addImmediate(0, 1),
    store64(words, Word.sent * 8, 0),
  ];
}

interface Registers {
  readonly context: number;
  readonly words: number;
  readonly port: number;
  readonly sum: number;
}

function writeHeaders(frame: Uint8Array, { context, words, port, sum }: Registers): Instruction[] {
  const view = new DataView(frame.buffer);
  // A ones' complement sum is the same in either byte order (RFC 1071 section 2): everything but the source port.
  let rest = swap16(17) + swap16(8 + udpPayloadLength);
  for (let i = 26; i < frameLength; i += 2) if (i !== 34 && i !== 40) rest += view.getUint16(i, true);
  const [flows, frameStart, frameEnd, limit] = [1, 2, 3, 4];
  return [
    call(Helper.getPrandomU32),
    load64(flows, words, Word.flows * 8),
    remainder32(0, flows),
    addImmediate(0, firstSourcePort),
    toBigEndian16(0),
    move(port, 0),
    load32(frameStart, context, 0),
    load32(frameEnd, context, 4),
    move(limit, frameStart),
    addImmediate(limit, frameLength),
    jumpIfGreater(limit, frameEnd, 1),
    jump(2),
    moveImmediate(0, xdpDrop),
    exit(),
    ...Array.from({ length: 10 }, (_, i) => storeImmediate32(frameStart, i * 4, view.getInt32(i * 4, true))),
    storeImmediate16(frameStart, 40, 0),
    store16(frameStart, 34, port),
    move(sum, port),
    addImmediate(sum, rest),
    ...fold(sum, 5),
    ...fold(sum, 5),
    xorImmediate(sum, 0xffff),
    store16(frameStart, 40, sum),
  ];
}

function fold(sum: number, scratch: number): Instruction[] {
  return [move(scratch, sum), shiftRight(scratch, 16), andImmediate(sum, 0xffff), add(sum, scratch)];
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

function templateFrame(shape: GeneratorShape): Uint8Array {
  const frame = new Uint8Array(frameLength);
  const view = new DataView(frame.buffer);
  frame.set(macBytes(shape.destinationMac), 0);
  frame.set(macBytes(shape.sourceMac), 6);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, frameLength - 14);
  view.setUint16(20, 0x4000);
  view.setUint16(22, (64 << 8) | 17);
  frame.set(addressBytes(shape.source), 26);
  frame.set(addressBytes(shape.destination), 30);
  let sum = 0;
  for (let i = 14; i < 34; i += 2) sum += view.getUint16(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(24, ~sum & 0xffff);
  view.setUint16(36, shape.destinationPort);
  view.setUint16(38, 8 + udpPayloadLength);
  return frame;
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}

function addressBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split('.'), Number);
}
