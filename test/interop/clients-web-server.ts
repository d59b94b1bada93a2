// SPDX-License-Identifier: Apache-2.0
// A process of its own, on a real server: HTTP/1.1 and a WebSocket echo. The argument is the port.
//   GET /NUMBER   the body of that number, at the pace of a slow line, so that it is on its way for a while
//   POST /        answers the checksum of what it was sent
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { bodyLength, bodyOf, checksum } from './clients-body.ts';
import { acceptKey, emitFrame, FrameReader, opcodes } from './clients-frame.ts';

const pieceLength = 64 * 1024;
const piecePauseMs = 5;

const server = createServer((request, response) => {
  if (request.method === 'POST') answerChecksum(request, response);
  else sendBody(Number(request.url!.slice(1)), response);
});

server.on('upgrade', (request, socket, head) => {
  const reader = new FrameReader();
  const echo = (chunk: Buffer): void => {
    for (const { opcode, payload } of reader.push(chunk)) {
      if (opcode === opcodes.close) socket.end(emitFrame(opcodes.close, payload));
      else socket.write(emitFrame(opcode, payload));
    }
  };
  socket.on('error', () => undefined);
  const accept = acceptKey(request.headers['sec-websocket-key']!);
  const lines = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`];
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
  echo(head);
  socket.on('data', echo);
});

server.listen(Number(process.argv[2]), () => console.log('listening'));

function sendBody(number: number, response: ServerResponse): void {
  response.writeHead(200, { 'content-length': bodyLength });
  Readable.from(slowly(bodyOf(number))).pipe(response);
}

async function* slowly(body: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += pieceLength) {
    yield body.subarray(at, at + pieceLength);
    await delay(piecePauseMs);
  }
}

function answerChecksum(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const answer = checksum(Buffer.concat(chunks));
    response.writeHead(200, { 'content-length': answer.length }).end(answer);
  });
}
