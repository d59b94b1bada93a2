// SPDX-License-Identifier: Apache-2.0
// A process of its own, at the client: one connection, on which downloads and uploads are asked for before the one
// ahead is answered. Arguments: address, port. Says `under way`; when told `finish` on stdin it waits for the answers
// to a few requests of after that, and says what came as JSON.
import { connect } from 'node:net';
import { bodyOf, checksum } from './clients-body.ts';

const outstandingMax = 3;
const afterwards = 4;

const expected: string[] = [];
let asked = 0;
let answered = 0;
let wrong = 0;
let last = Number.POSITIVE_INFINITY;
let bytesBefore = 0;
let bytesAfter = 0;
let received: Buffer[] = [];
let receivedLength = 0;
let head: { readonly start: number; readonly length: number } | undefined;

const socket = connect(Number(process.argv[3]), process.argv[2]!, () => ask());
socket.on('error', ({ message }) => fail(message));
socket.on('close', () => fail('the connection was closed'));
socket.on('data', (chunk) => {
  if (last === Number.POSITIVE_INFINITY) bytesBefore += chunk.length;
  else bytesAfter += chunk.length;
  received.push(chunk);
  receivedLength += chunk.length;
  while (takeAnswer());
  ask();
});
process.stdin.once('data', () => {
  last = asked + afterwards;
});

function ask(): void {
  while (asked - answered < outstandingMax && asked < last) {
    const number = asked;
    asked += 1;
    const body = bodyOf(number);
    expected.push(checksum(body));
    if (number % 2 === 0) socket.write(`GET /${number} HTTP/1.1\r\nHost: pair.test\r\n\r\n`);
    else {
      socket.write(`POST / HTTP/1.1\r\nHost: pair.test\r\nContent-Length: ${body.length}\r\n\r\n`);
      socket.write(body);
    }
  }
}

/** Takes one whole answer off what was received. */
function takeAnswer(): boolean {
  if (head === undefined) {
    const text = join().toString('latin1', 0, 2048);
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const length = /^HTTP\/1\.1 200 OK\r\n(?:.*\r\n)*?content-length: (\d+)\r\n/i.exec(text)?.[1];
    if (length === undefined) fail(`an answer begins ${text.slice(0, end)}`);
    head = { start: end + 4, length: Number(length) };
  }
  const end = head.start + head.length;
  if (receivedLength < end) return false;
  const bytes = join();
  const body = bytes.subarray(head.start, end);
  const sum = answered % 2 === 0 ? checksum(body) : body.toString();
  if (sum !== expected[answered]) wrong += 1;
  answered += 1;
  received = [bytes.subarray(end)];
  receivedLength = bytes.length - end;
  head = undefined;
  if (answered === 2) process.stdout.write('under way\n');
  if (answered === last) report();
  return receivedLength > 0;
}

function join(): Buffer {
  const bytes = received.length === 1 ? received[0]! : Buffer.concat(received);
  received = [bytes];
  return bytes;
}

function report(): void {
  process.stdout.write(`${JSON.stringify({ asked, answered, wrong, bytesBefore, bytesAfter })}\n`, () =>
    process.exit(0),
  );
}

function fail(reason: string): never {
  process.stderr.write(`after ${answered} of ${asked} answers: ${reason}\n`);
  process.exit(1);
}
