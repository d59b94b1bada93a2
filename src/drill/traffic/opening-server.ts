// SPDX-License-Identifier: Apache-2.0
import { createServer, type Socket } from 'node:net';
import { serveRemote } from '../remote.ts';
import { headerLength } from './message.ts';
import { createSessionEnd, type SessionEnd } from './session.ts';

// The real servers' side of the sessions that are opened all the time: each message is answered at once, the client sets
// the pace. A process of its own, so that thousands of other sessions do not delay an answer.

serveRemote({
  listen: (port: number) =>
    new Promise<void>((resolve, reject) => {
      const server = createServer({ noDelay: true }, serve);
      server.once('error', reject);
      server.listen({ port, host: '::', backlog: 4_096 }, () => resolve());
    }),
});

function serve(socket: Socket): void {
  let end: SessionEnd | undefined;
  let start: Buffer = Buffer.alloc(0);
  // The client judges what breaks; health checks connect and close without a word.
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    let bytes = chunk;
    if (end === undefined) {
      bytes = Buffer.concat([start, chunk]);
      start = bytes;
      if (bytes.length < headerLength) return;
      // The first message names the session, and is then verified like all others.
      end = createSessionEnd({ session: bytes.readUInt32BE(4), direction: 1, seed: bytes.readUInt32BE(16) });
    }
    const reception = end.accept(bytes);
    if (reception === 'corrupted') socket.end(end.alarm());
    if (reception === 'progress') socket.write(end.next());
  });
}
