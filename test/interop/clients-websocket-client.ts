// SPDX-License-Identifier: Apache-2.0
// A process of its own, at the client: a WebSocket on which numbered messages of many sizes are echoed. Arguments:
// address, port. Says `under way`; when told `finish` on stdin it sends some more, closes, and says what came as JSON.
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { acceptKey, emitFrame, FrameReader, opcodes } from './clients-frame.ts';

const outstandingMax = 4;
const pauseMs = 5;
const afterwards = 200;
/** One of each form of length (RFC 6455 section 5.2). */
const sizes = [20, 125, 126, 4000, 70_000];

let sent = 0;
let echoed = 0;
let echoedBefore = 0;
let wrong = 0;
let last = Number.POSITIVE_INFINITY;
let closing = false;

const reader = new FrameReader();
const key = randomBytes(16).toString('base64');
const socket = connect(Number(process.argv[3]), process.argv[2]!);
socket.on('error', ({ message }) => fail(message));
socket.on('close', () => fail('the connection was closed'));
socket.write(
  `GET /echo HTTP/1.1\r\nHost: pair.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
);
let greeting = '';
const greet = (chunk: Buffer): void => {
  greeting += chunk.toString('latin1');
  if (!greeting.includes('\r\n\r\n')) return;
  if (!greeting.startsWith('HTTP/1.1 101 ') || !greeting.includes(acceptKey(key))) fail(`it answered ${greeting}`);
  socket.off('data', greet);
  socket.on('data', take);
  setInterval(send, pauseMs);
};
socket.on('data', greet);
process.stdin.once('data', () => {
  echoedBefore = echoed;
  last = sent + afterwards;
});

function message(number: number): Buffer {
  const bytes = Buffer.alloc(sizes[number % sizes.length]!, number & 0xff);
  bytes.writeUInt32BE(number);
  return bytes;
}

function send(): void {
  if (sent === last || sent - echoed >= outstandingMax) return;
  socket.write(emitFrame(opcodes.binary, message(sent), randomBytes(4)));
  sent += 1;
}

function take(chunk: Buffer): void {
  for (const { opcode, payload } of reader.push(chunk)) {
    if (opcode === opcodes.close) {
      if (!closing) fail('the server closed');
      report();
      return;
    }
    if (opcode !== opcodes.binary || !payload.equals(message(echoed))) wrong += 1;
    echoed += 1;
    if (echoed === 20) process.stdout.write('under way\n');
    if (echoed === last) {
      closing = true;
      socket.write(emitFrame(opcodes.close, Buffer.from([0x03, 0xe8]), randomBytes(4)));
    }
  }
}

function report(): void {
  process.stdout.write(`${JSON.stringify({ sent, echoed, echoedBefore, wrong })}\n`, () => process.exit(0));
}

function fail(reason: string): never {
  process.stderr.write(`after ${echoed} of ${sent} echoes: ${reason}\n`);
  process.exit(1);
}
