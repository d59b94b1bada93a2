// SPDX-License-Identifier: Apache-2.0
import { createInterface } from 'node:readline';
import { type IpAddress, ipAddressBytes } from '../../src/lib/ip-address.ts';
import { close, pinnedMemory, sched_setscheduler } from '../../src/platform/linux/libc.ts';
import { requestRealTime } from '../../src/platform/linux/process/realtime.ts';
import { loadXdpProgram, runLiveFramesOnce, sharedWords } from '../bpf.ts';
import { type FlowShape, flowProgram, templateFrame, Word, wordCount } from './flow-program.ts';

// A process of its own, on a processor of its own: sends packets as fast as it can through the kernel's generator. One
// order a line on its standard input, one answer a line on its standard output, as JSON.

export interface SendOrder extends Omit<FlowShape, 'clientBase' | 'fixedAddress'> {
  readonly clientBase: string;
  readonly fixedAddress: string;
  readonly packets: number;
  /** Of `sequence`: the first flow. */
  readonly firstFlow: number;
}

export interface SendResult {
  readonly sent: number;
  /** From the first packet to the last, until both have been dealt with. */
  readonly elapsedMs: number;
}

const SCHED_OTHER = 0;
const noPriority = pinnedMemory(4);
const { fd: wordsFd, words } = sharedWords(wordCount);

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(send(JSON.parse(line) as SendOrder))}\n`);
}

function send(order: SendOrder): SendResult {
  const bytes = (address: string): number[] => [...ipAddressBytes(address as IpAddress)];
  const shape = { ...order, clientBase: bytes(order.clientBase), fixedAddress: bytes(order.fixedAddress) };
  const program = loadXdpProgram(flowProgram(shape, wordsFd));
  words.fill(0n);
  words[Word.state] = 0x9e37_79b9_7f4a_7c15n;
  words[Word.start] = BigInt(order.firstFlow);
  // Before all others on its processor: else what is measured is who else ran there.
  requestRealTime();
  runLiveFramesOnce(program, templateFrame(shape), order.packets);
  sched_setscheduler(0, SCHED_OTHER, noPriority.address);
  close(program);
  return { sent: Number(words[Word.sent]!), elapsedMs: Number(words[Word.lastNs]! - words[Word.firstNs]!) / 1e6 };
}
