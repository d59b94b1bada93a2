// SPDX-License-Identifier: Apache-2.0
import { createInterface } from 'node:readline';
import { attachXdp } from '../../src/platform/linux/bpf/attachment.ts';
import { interfaceFacts } from '../../src/platform/linux/netlink/interface-facts.ts';
import {
  add,
  addImmediate,
  exit,
  type Instruction,
  jumpIfGreater,
  load8,
  load32,
  load64,
  loadMapValue,
  loadXdpProgram,
  move,
  moveImmediate,
  sharedWords,
  shiftLeft,
  store64,
  xdpDrop,
} from '../bpf.ts';

// A process of its own: counts the frames that arrive at an interface by the last byte of their destination's MAC
// address, and drops them. Each line on its standard input is answered with the counts that are not zero, as JSON.

const kinds = 256;
const { fd, words } = sharedWords(kinds);
const { link } = attachXdp({ fd: loadXdpProgram(program()) }, interfaceFacts(process.argv[2] ?? '').index, 'native');

for await (const _ of createInterface({ input: process.stdin })) {
  const counts: [number, number][] = [];
  for (const [byte, arrived] of words.entries()) if (arrived !== 0n) counts.push([byte, Number(arrived)]);
  process.stdout.write(`${JSON.stringify(counts)}\n`);
}
link.close();

/** All packets come on the generator's processor, so nothing has to be counted atomically. */
function program(): Instruction[] {
  return [
    load32(2, 1, 0),
    load32(3, 1, 4),
    move(4, 2),
    addImmediate(4, 14),
    jumpIfGreater(4, 3, 8),
    ...loadMapValue(5, fd),
    load8(4, 2, 5),
    shiftLeft(4, 3),
    add(5, 4),
    load64(0, 5, 0),
    addImmediate(0, 1),
    store64(5, 0, 0),
    moveImmediate(0, xdpDrop),
    exit(),
  ];
}
