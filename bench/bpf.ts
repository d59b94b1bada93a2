// SPDX-License-Identifier: Apache-2.0
import koffi from 'koffi';
import { errno, MAP_SHARED, mmap, pinnedMemory } from '../src/platform/linux/libc.ts';
import { errnoName } from '../src/platform/linux/system-error.ts';

// As much of bpf(2) as a packet generator needs, and an assembler for it: so no compiler is needed to measure.
// Instruction encoding: Documentation/bpf/standardization/instruction-set.rst; commands and attributes: linux/bpf.h.

/** One instruction of eight bytes. */
export type Instruction = bigint;

const BPF_MAP_CREATE = 0;
const BPF_PROG_LOAD = 5;
const BPF_PROG_TEST_RUN = 10;
const BPF_PROG_TYPE_XDP = 6;
const BPF_MAP_TYPE_ARRAY = 2;
const BPF_F_MMAPABLE = 0x400;
const BPF_PSEUDO_MAP_FD = 1;
const BPF_PSEUDO_MAP_VALUE = 2;
const BPF_F_TEST_XDP_LIVE_FRAMES = 2;
const BPF_F_XDP_HAS_FRAGS = 0x20;
/** enum bpf_attach_type */
const BPF_XDP = 37;
const attributeLength = 128;
const logLength = 64 * 1024;
const pageLength = 4096;
/** arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h */
const systemCallNumber = process.arch === 'x64' ? 321 : 280;

type Call = (number: number, command: number, attribute: number, size: number) => number;

const systemCall = koffi
  .load('libc.so.6')
  .func('long syscall(long number, long command, uintptr_t attribute, unsigned long size)') as Call & {
  async(...parameters: [...Parameters<Call>, (error: Error | null, returned: number) => void]): void;
};

export const Helper = { ktimeGetNs: 5, getPrandomU32: 7, redirect: 23, redirectMap: 51 } as const;
/** enum xdp_action */
export const xdpDrop = 1;
export const xdpPass = 2;
export const xdpTransmit = 3;

export const moveImmediate = (to: number, value: number): Instruction => encode(0xb7, to, 0, 0, value);
export const move = (to: number, from: number): Instruction => encode(0xbf, to, from, 0, 0);
export const addImmediate = (to: number, value: number): Instruction => encode(0x07, to, 0, 0, value);
export const add = (to: number, from: number): Instruction => encode(0x0f, to, from, 0, 0);
export const andImmediate = (to: number, value: number): Instruction => encode(0x57, to, 0, 0, value);
export const xorImmediate = (to: number, value: number): Instruction => encode(0xa7, to, 0, 0, value);
export const shiftRight = (to: number, bits: number): Instruction => encode(0x77, to, 0, 0, bits);
export const shiftLeft = (to: number, bits: number): Instruction => encode(0x67, to, 0, 0, bits);
export const xor = (to: number, from: number): Instruction => encode(0xaf, to, from, 0, 0);
export const multiplyImmediate = (to: number, value: number): Instruction => encode(0x27, to, 0, 0, value);
/** On 32 bits, which clears the upper half. */
export const remainder32 = (to: number, by: number): Instruction => encode(0x9c, to, by, 0, 0);
export const toBigEndian16 = (to: number): Instruction => encode(0xdc, to, 0, 0, 16);
export const load8 = (to: number, from: number, offset: number): Instruction => encode(0x71, to, from, offset, 0);
export const load16 = (to: number, from: number, offset: number): Instruction => encode(0x69, to, from, offset, 0);
export const load32 = (to: number, from: number, offset: number): Instruction => encode(0x61, to, from, offset, 0);
export const load64 = (to: number, from: number, offset: number): Instruction => encode(0x79, to, from, offset, 0);
export const store64 = (at: number, offset: number, from: number): Instruction => encode(0x7b, at, from, offset, 0);
/** Takes the place of two instructions. */
export const loadMapValue = (to: number, mapFd: number): Instruction[] => [
  encode(0x18, to, BPF_PSEUDO_MAP_VALUE, 0, mapFd),
  0n,
];
/** Takes the place of two instructions. */
export const loadMap = (to: number, mapFd: number): Instruction[] => [
  encode(0x18, to, BPF_PSEUDO_MAP_FD, 0, mapFd),
  0n,
];
export const store8 = (at: number, offset: number, from: number): Instruction => encode(0x73, at, from, offset, 0);
export const store32 = (at: number, offset: number, from: number): Instruction => encode(0x63, at, from, offset, 0);
export const store16 = (at: number, offset: number, from: number): Instruction => encode(0x6b, at, from, offset, 0);
export const storeImmediate32 = (at: number, offset: number, value: number): Instruction =>
  encode(0x62, at, 0, offset, value);
export const storeImmediate16 = (at: number, offset: number, value: number): Instruction =>
  encode(0x6a, at, 0, offset, value);
/** Unsigned, as all comparisons here. */
export const jumpIfGreater = (a: number, b: number, skip: number): Instruction => encode(0x2d, a, b, skip, 0);
export const jumpIfNotZero = (a: number, skip: number): Instruction => encode(0x55, a, 0, skip, 0);
export const jump = (skip: number): Instruction => encode(0x05, 0, 0, skip, 0);
export const call = (helper: number): Instruction => encode(0x85, 0, 0, 0, helper);
export const exit = (): Instruction => encode(0x95, 0, 0, 0, 0);

/**
 * Loads an XDP program and gives its descriptor. Throws with the verifier's last words. `fragments`: a device map takes
 * only programs that agree in whether they take packets of several pieces.
 */
export function loadXdpProgram(instructions: readonly Instruction[], { fragments = false } = {}): number {
  const code = pinnedMemory(instructions.length * 8);
  const log = pinnedMemory(logLength);
  const license = pinnedMemory(16);
  license.bytes.set(new TextEncoder().encode('Apache-2.0'));
  const codeView = new DataView(code.bytes.buffer, code.bytes.byteOffset);
  for (const [i, instruction] of instructions.entries()) codeView.setBigUint64(i * 8, instruction, true);
  const attribute = pinnedMemory(attributeLength);
  const view = new DataView(attribute.bytes.buffer, attribute.bytes.byteOffset);
  view.setUint32(0, BPF_PROG_TYPE_XDP, true);
  view.setUint32(4, instructions.length, true);
  view.setBigUint64(8, BigInt(code.address), true);
  view.setBigUint64(16, BigInt(license.address), true);
  view.setUint32(24, 1, true);
  view.setUint32(28, logLength, true);
  view.setBigUint64(32, BigInt(log.address), true);
  if (fragments) view.setUint32(44, BPF_F_XDP_HAS_FRAGS, true);
  view.setUint32(68, BPF_XDP, true);
  const fd = systemCall(systemCallNumber, BPF_PROG_LOAD, attribute.address, attributeLength);
  if (fd >= 0) return fd;
  const said = new TextDecoder().decode(log.bytes.subarray(0, log.bytes.indexOf(0))).trim();
  throw new Error(`the kernel refused the generator's program (${errnoName(errno())}): ${said.slice(-600)}`);
}

/** A map of one value that a program and this process share; gives its descriptor and its words. */
export function sharedWords(count: number): { readonly fd: number; readonly words: BigUint64Array } {
  const attribute = pinnedMemory(attributeLength);
  const view = new DataView(attribute.bytes.buffer, attribute.bytes.byteOffset);
  view.setUint32(0, BPF_MAP_TYPE_ARRAY, true);
  view.setUint32(4, 4, true);
  view.setUint32(8, count * 8, true);
  view.setUint32(12, 1, true);
  view.setUint32(16, BPF_F_MMAPABLE, true);
  const fd = systemCall(systemCallNumber, BPF_MAP_CREATE, attribute.address, attributeLength);
  if (fd < 0) throw new Error(`the kernel refused a BPF map (${errnoName(errno())}); it takes root`);
  const address = mmap(0, pageLength, MAP_SHARED, fd);
  return { fd, words: new BigUint64Array(koffi.view(BigInt(address), count * 8)) };
}

/**
 * Runs the program on live frames for ever, which it must write and send on itself. Beginning and ending a run costs
 * the kernel 25 ms, so one run serves for everything; it ends with the process.
 */
export function runLiveFrames(programFd: number, frame: Uint8Array): void {
  const input = pinnedMemory(frame.length);
  input.bytes.set(frame);
  const attribute = pinnedMemory(attributeLength);
  const view = new DataView(attribute.bytes.buffer, attribute.bytes.byteOffset);
  view.setUint32(0, programFd, true);
  view.setUint32(8, frame.length, true);
  view.setBigUint64(16, BigInt(input.address), true);
  view.setUint32(32, 0xffff_ffff, true);
  view.setUint32(64, BPF_F_TEST_XDP_LIVE_FRAMES, true);
  systemCall.async(systemCallNumber, BPF_PROG_TEST_RUN, attribute.address, attributeLength, (error, returned) => {
    if (error !== null || returned < 0)
      throw new Error('the kernel does not send live frames; it takes Linux 5.18 and root');
    // The kernel has written its result into the attributes: the next run needs fresh ones.
    runLiveFrames(programFd, input.bytes);
  });
}

/** Runs the program on so many live frames and returns when it has; what the frames set off is done too, or nearly. */
export function runLiveFramesOnce(programFd: number, frame: Uint8Array, count: number): void {
  const input = pinnedMemory(frame.length);
  input.bytes.set(frame);
  const attribute = pinnedMemory(attributeLength);
  const view = new DataView(attribute.bytes.buffer, attribute.bytes.byteOffset);
  view.setUint32(0, programFd, true);
  view.setUint32(8, frame.length, true);
  view.setBigUint64(16, BigInt(input.address), true);
  view.setUint32(32, count, true);
  view.setUint32(64, BPF_F_TEST_XDP_LIVE_FRAMES, true);
  if (systemCall(systemCallNumber, BPF_PROG_TEST_RUN, attribute.address, attributeLength) >= 0) return;
  throw new Error(`the kernel does not send live frames (${errnoName(errno())}); it takes Linux 5.18 and root`);
}

function encode(code: number, to: number, from: number, offset: number, immediate: number): Instruction {
  const registers = (from << 4) | to;
  return (
    BigInt(code) |
    (BigInt(registers) << 8n) |
    (BigInt.asUintN(16, BigInt(offset)) << 16n) |
    (BigInt.asUintN(32, BigInt(immediate)) << 32n)
  );
}
