// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket } from 'node:dgram';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../director.ts';
import { serveRemote } from '../remote.ts';
import { emitMessage, type Message, messageLength, parseMessage } from '../traffic/message.ts';
import { createEchoes, type EchoReport } from './echoes.ts';

// One UDP datagram every millisecond from one port to the virtual address, which a real server answers: the lost ones
// show to the millisecond for how long no director forwarded a flow.

export interface EchoProbeOptions {
  readonly destination: string;
  readonly port: number;
}

const identity = { session: 0xffff_ffff, seed: 0x6563_686f, payloadLength: 8 } as const;
/** After a hold-up at most so many are sent at once: the rest was missed, and a burst would measure nothing. */
const burstMax = 5;
const answerTimeoutMs = 1_000;
const receiveBufferSize = 1 << 20;

const echoes = createEchoes();
let timer: NodeJS.Timeout | undefined;
let reported = 0;

serveRemote({
  start: async ({ destination, port }: EchoProbeOptions) => {
    const socket = createSocket(destination.includes(':') ? 'udp6' : 'udp4');
    socket.on('error', () => {});
    socket.on('message', (bytes) => {
      const parsed = parseMessage(bytes);
      if (parsed.ok && parsed.value.direction === 1) echoes.answer(parsed.value.sequence);
    });
    await new Promise<void>((resolve) => socket.connect(port, destination, () => resolve()));
    socket.setRecvBufferSize(receiveBufferSize);
    let due = monotonicMs();
    timer = setInterval(() => {
      const nowMs = monotonicMs();
      due = Math.max(due, nowMs - burstMax);
      for (; due <= nowMs; due += 1) ask(socket, nowMs);
    }, 1);
  },
  /** Gives what became of those sent since the last report, once each has had its time to be answered. */
  report: async (): Promise<EchoReport> => {
    const [from, to] = [reported, echoes.count];
    reported = to;
    await delay(answerTimeoutMs);
    return echoes.report(from, to, monotonicMs());
  },
  stop: () => clearInterval(timer),
});

function ask(socket: Socket, nowMs: number): void {
  const sequence = echoes.send(nowMs);
  const message: Message = { ...identity, kind: 'payload', direction: 0, sequence, acknowledged: 0 };
  const bytes = Buffer.alloc(messageLength(message));
  emitMessage(message, bytes, 0);
  socket.send(bytes, () => {});
}
