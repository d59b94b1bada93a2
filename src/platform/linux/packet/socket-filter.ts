// SPDX-License-Identifier: Apache-2.0
import { addressOf } from '../libc.ts';

/** One instruction of classic BPF (linux/filter.h): code, jump if true, jump if false, operand. */
export type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

/** Loads from an absolute offset into the packet. */
export const BPF_LD_W_ABS = 0x20;
export const BPF_LD_H_ABS = 0x28;
export const BPF_LD_B_ABS = 0x30;
export const BPF_JEQ_K = 0x15;
export const BPF_JGT_K = 0x25;
export const BPF_JGE_K = 0x35;
export const BPF_RET_K = 0x06;
/** linux/filter.h: the packet's type instead of its bytes. */
export const SKF_AD_PKTTYPE = 0xffff_f000 + 4;
/** linux/filter.h: offsets from here on count from the network header, wherever the packet's bytes begin. */
export const SKF_NET_OFF = 0xfff0_0000;

/** struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; } */
const instructionLength = 8;

/** Held here, because the garbage collector does not see the kernel's pointer to it. */
let programInUse: Uint8Array | undefined;

/** Calls `set` with a struct sock_fprog, the value of SO_ATTACH_FILTER, valid during the call. */
export function attachFilter(instructions: readonly Instruction[], set: (fprog: Uint8Array) => void): void {
  const program = new Uint8Array(new ArrayBuffer(instructions.length * instructionLength));
  programInUse = program;
  const view = new DataView(program.buffer);
  for (const [i, [code, jumpTrue, jumpFalse, k]] of instructions.entries()) {
    view.setUint16(i * instructionLength, code, true);
    view.setUint8(i * instructionLength + 2, jumpTrue);
    view.setUint8(i * instructionLength + 3, jumpFalse);
    view.setUint32(i * instructionLength + 4, k, true);
  }
  // struct sock_fprog { u16 len; struct sock_filter *filter; }
  const fprog = new Uint8Array(16);
  const fprogView = new DataView(fprog.buffer);
  fprogView.setUint16(0, instructions.length, true);
  fprogView.setBigUint64(8, BigInt(addressOf(programInUse)), true);
  set(fprog);
}
