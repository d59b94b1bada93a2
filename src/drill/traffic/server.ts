// SPDX-License-Identifier: Apache-2.0
import { createServer, type Socket } from 'node:net';
import { serveRemote } from '../remote.ts';
import { headerLength, parseMessage } from './message.ts';
import { createSessionEnd, type SessionEnd } from './session.ts';
import { createWheel, type Wheel } from './wheel.ts';

// The real servers' side of the sessions: one process in each real server's namespace.

export interface ServerReport {
  /** Sessions whose data arrived here. */
  readonly served: number;
  readonly corrupted: number;
}

interface ServedSession {
  readonly slot: number;
  readonly end: SessionEnd;
  readonly socket: Socket;
}

let served = 0;
let corrupted = 0;

serveRemote({
  listen: (port: number, periodMs: number) => {
    const wheel = createWheel<ServedSession>(periodMs, ({ socket, end }) => {
      if (socket.writable) socket.write(end.next());
    });
    const server = createServer({ noDelay: true }, (socket) => serve(socket, wheel));
    return new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host: '0.0.0.0', backlog: 4_096 }, () => resolve());
    });
  },
  report: (): ServerReport => ({ served, corrupted }),
});

function serve(socket: Socket, wheel: Wheel<ServedSession>): void {
  let session: ServedSession | undefined;
  let start: Buffer = Buffer.alloc(0);
  // The client counts what breaks; health checks connect and close without a word.
  socket.on('error', () => {});
  socket.on('close', () => session && wheel.remove(session));
  socket.on('data', (chunk) => {
    let bytes = chunk;
    if (session === undefined) {
      bytes = start.length === 0 ? chunk : Buffer.concat([start, chunk]);
      start = bytes;
      if (bytes.length < headerLength) return;
      session = open(socket, bytes);
      if (session !== undefined) wheel.add(session);
    }
    if (session === undefined) refuse(socket, undefined);
    else if (session.end.accept(bytes) === 'corrupted') refuse(socket, session.end);
  });
}

/** Who is calling stands in the first message, which the session's end then verifies like all others. */
function open(socket: Socket, bytes: Buffer): ServedSession | undefined {
  const parsed = parseMessage(bytes);
  if (!parsed.ok && parsed.reason !== 'incomplete') return undefined;
  const session = bytes.readUInt32BE(4);
  served += 1;
  return { slot: session, socket, end: createSessionEnd({ session, direction: 1, seed: bytes.readUInt32BE(16) }) };
}

function refuse(socket: Socket, end: SessionEnd | undefined): void {
  corrupted += 1;
  if (end === undefined) socket.destroy();
  else socket.end(end.alarm());
}
