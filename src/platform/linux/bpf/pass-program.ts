// SPDX-License-Identifier: Apache-2.0
import { pinnedMemory } from '../libc.ts';
import { bpf, Command } from './system-call.ts';

const BPF_PROG_TYPE_XDP = 6;
/** r0 = XDP_PASS; exit: Documentation/bpf/standardization/instruction-set.rst */
const instructions = new BigUint64Array([0x0000_0002_0000_00b7n, 0x95n]);
const license = new TextEncoder().encode('Apache-2.0\0');

/** Loads the smallest XDP program, which passes every packet; returns its descriptor, or -1 with `errno()`. */
export function loadPassProgram(): number {
  const code = pinnedMemory(instructions.byteLength);
  new BigUint64Array(code.bytes.buffer).set(instructions);
  const licensed = pinnedMemory(license.length);
  licensed.bytes.set(license);
  return bpf(Command.programLoad, (attribute) => {
    attribute.words[0] = BPF_PROG_TYPE_XDP;
    attribute.words[1] = instructions.length;
    attribute.setAddress(8, code.address);
    attribute.setAddress(16, licensed.address);
  });
}
