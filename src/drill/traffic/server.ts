// SPDX-License-Identifier: Apache-2.0
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import { serveRemote } from '../remote.ts';
import { emitMessage, headerLength, messageLength, parseMessage } from './message.ts';
import { createSessionEnd, type SessionEnd } from './session.ts';
import { createStallClock, type StallClock, type StallReport } from './stall-clock.ts';
import { createWheel, type Wheel } from './wheel.ts';

// The real servers' side of the sessions: one process in each real server's namespace.

interface ServedSession {
  readonly slot: number;
  readonly end: SessionEnd;
  readonly socket: Socket;
  readonly incoming: StallClock;
}

const receiveBufferSize = 1 << 20;

let period = 0;
const sessions = new Set<ServedSession>();

export interface ListenOptions {
  readonly port: number;
  readonly flowPort: number;
  /** The source addresses of UDP answers: a socket for all addresses would answer from any of them. */
  readonly flowAddresses: readonly string[];
  /** Tells real servers apart in the answers. */
  readonly number: number;
  readonly periodMs: number;
}

serveRemote({
  listen: async (options: ListenOptions) => {
    period = options.periodMs;
    const wheel = createWheel<ServedSession>(period, ({ socket, end }) => {
      if (socket.writable) socket.write(end.next());
    });
    const server = createServer({ noDelay: true }, (socket) => serve(socket, wheel));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // Both families: an IPv6 socket takes IPv4 as well.
      server.listen({ port: options.port, host: '::', backlog: 4_096 }, () => resolve());
    });
    for (const address of options.flowAddresses) await answerFlows(address, options);
  },
  mark: () => {
    for (const { incoming } of sessions) incoming.reset(performance.now());
  },
  /** From the clients to here, since the mark, of the sessions that are still open. */
  report: (): StallReport => ({
    sessions: Uint32Array.from(sessions, ({ slot }) => slot),
    longestMs: Float64Array.from(sessions, ({ incoming }) => incoming.longestMs(performance.now())),
  }),
});

/** Each question of a flow comes back as an answer that names this server. */
function answerFlows(address: string, { flowPort, number }: ListenOptions): Promise<void> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (bytes, from) => {
    const parsed = parseMessage(bytes);
    if (!parsed.ok || parsed.value.direction !== 0) return;
    const answer = Buffer.alloc(messageLength(parsed.value));
    emitMessage({ ...parsed.value, direction: 1, acknowledged: number }, answer, 0);
    socket.send(answer, from.port, from.address, () => {});
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(flowPort, address, () => {
      // A server that is held up must not lose what directors have forwarded.
      socket.setRecvBufferSize(receiveBufferSize);
      resolve();
    });
  });
}

function serve(socket: Socket, wheel: Wheel<ServedSession>): void {
  let session: ServedSession | undefined;
  let start: Buffer = Buffer.alloc(0);
  // The client counts what breaks; health checks connect and close without a word.
  socket.on('error', () => {});
  socket.on('close', () => {
    if (session === undefined) return;
    wheel.remove(session);
    sessions.delete(session);
  });
  socket.on('data', (chunk) => {
    let bytes = chunk;
    const isFirst = session === undefined;
    if (session === undefined) {
      bytes = start.length === 0 ? chunk : Buffer.concat([start, chunk]);
      start = bytes;
      if (bytes.length < headerLength) return;
      session = open(socket, bytes);
      if (session === undefined) return refuse(socket, undefined);
      sessions.add(session);
      wheel.add(session);
    }
    const reception = session?.end.accept(bytes) ?? 'corrupted';
    if (reception === 'progress') session?.incoming.progress(performance.now());
    if (reception === 'corrupted') refuse(socket, session?.end);
    // The client counts a session as open once it is answered: that need not wait for the wheel.
    else if (isFirst && session !== undefined) socket.write(session.end.next());
  });
}

/** The first message names the session; the session's end then verifies it like all others. */
function open(socket: Socket, bytes: Buffer): ServedSession | undefined {
  const parsed = parseMessage(bytes);
  if (!parsed.ok && parsed.reason !== 'incomplete') return undefined;
  const session = bytes.readUInt32BE(4);
  const end = createSessionEnd({ session, direction: 1, seed: bytes.readUInt32BE(16) });
  return { slot: session, socket, end, incoming: createStallClock(period, performance.now()) };
}

function refuse(socket: Socket, end: SessionEnd | undefined): void {
  if (end === undefined) socket.destroy();
  else socket.end(end.alarm());
}
