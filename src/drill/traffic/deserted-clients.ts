// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../director.ts';
import { serveRemote } from '../remote.ts';

// Clients of real servers that say who they are, before and after one of the servers dies: connections from new ports,
// connections from ports that have been used before, UDP flows from one port each, and connections that are held.

export interface DesertedOptions {
  readonly addresses: readonly string[];
  readonly port: number;
  readonly flowPort: number;
  /** Of each kind, for each address. */
  readonly count: number;
  /** The number of the real server that dies. */
  readonly deadServer: number;
}

/** A client that asks and is answered, or not. All times are monotonic milliseconds. */
export interface Asking {
  readonly kind: 'syn' | 'port' | 'flow' | 'held';
  /** The number of the real server that it had before; absent for a new connection. */
  readonly formerServer?: number;
  /** When it began to ask. */
  readonly askedMs: number;
  /** The answers of its real server, each time the server changed: who, and the first answer's moment. */
  readonly answers: readonly { readonly server: number; readonly atMs: number }[];
  /** −∞: it had none. */
  readonly lastAnswerMs: number;
}

interface Client {
  readonly kind: Asking['kind'];
  readonly formerServer?: number;
  askedMs: number;
  readonly answers: { readonly server: number; readonly atMs: number }[];
  lastAnswerMs: number;
}

/** Outside the range from which the kernel takes ports by itself. */
const portMin = 65_100;
const openTimeoutMs = 5_000;
const flowPeriodMs = 100;
const synPeriodMs = 50;
/** Those that are answered are watched for as long. */
const watchedMs = 1_000;
const pollMs = 20;

let options: DesertedOptions;
const clients: Client[] = [];
const sockets: (Socket | DatagramSocket)[] = [];
const timers: NodeJS.Timeout[] = [];
let heldSockets: { readonly client: Client; readonly socket: Socket }[] = [];
let usedPorts: { readonly address: string; readonly port: number; readonly server: number }[] = [];
let synTimer: NodeJS.Timeout | undefined;

serveRemote({
  /** Connects and leaves from each port, opens the flows and the connections that are held; each is answered. */
  prepare: async (given: DesertedOptions) => {
    options = given;
    const numbers = given.addresses.flatMap((address, i) =>
      Array.from({ length: given.count }, (_, j) => ({ address, port: portMin + i * given.count + j })),
    );
    usedPorts = await Promise.all(
      numbers.map(async ({ address, port }) => ({ address, port, server: await visit(address, port) })),
    );
    await Promise.all(numbers.map(({ address }) => startFlow(address)));
    heldSockets = await Promise.all(numbers.map(({ address }) => hold(address)));
  },
  /** Begins connections from new ports all the time, until `endConnecting`. */
  startConnecting: () => {
    let turn = 0;
    synTimer = setInterval(() => {
      ask('syn', options.addresses[turn % options.addresses.length]!);
      turn += 1;
    }, synPeriodMs);
  },
  endConnecting: () => clearInterval(synTimer),
  /** Connects from the ports that were used before, and asks over the connections that are held. */
  useAgain: () => {
    for (const { address, port, server } of usedPorts) ask('port', address, { localPort: port, formerServer: server });
    for (const { client, socket } of heldSockets) {
      client.askedMs = monotonicMs();
      socket.write('?');
    }
  },
  /** Waits until every client that may be answered is, but no longer than `timeoutMs`, gives them all and ends them. */
  report: async (timeoutMs: number): Promise<Asking[]> => {
    const untilMs = monotonicMs() + timeoutMs;
    await delay(watchedMs);
    while (monotonicMs() < untilMs && !clients.every(isSettled)) await delay(pollMs);
    for (const timer of timers) clearInterval(timer);
    for (const socket of sockets) {
      if ('destroy' in socket) socket.destroy();
      else socket.close();
    }
    return clients;
  },
});

/** Connects, is told the server's number, and closes in order. */
async function visit(host: string, localPort: number): Promise<number> {
  const socket = connect({ host, port: options.port, localPort });
  const [name] = (await once(socket, 'data', { signal: AbortSignal.timeout(openTimeoutMs) })) as [Buffer];
  socket.end();
  await once(socket, 'close', { signal: AbortSignal.timeout(openTimeoutMs) });
  return name[0]!;
}

function ask(
  kind: 'syn' | 'port',
  host: string,
  { localPort, formerServer }: { readonly localPort?: number; readonly formerServer?: number } = {},
): void {
  const client = addClient(kind, formerServer);
  const socket = connect({ host, port: options.port, ...(localPort === undefined ? {} : { localPort }) });
  follow(client, socket);
  socket.once('data', () => socket.end());
}

async function hold(host: string): Promise<{ readonly client: Client; readonly socket: Socket }> {
  const socket = connect({ host, port: options.port });
  const [name] = (await once(socket, 'data', { signal: AbortSignal.timeout(openTimeoutMs) })) as [Buffer];
  const client = addClient('held', name[0]!);
  follow(client, socket);
  return { client, socket };
}

function follow(client: Client, socket: Socket): void {
  sockets.push(socket);
  // An error leaves the client without an answer, which is what is judged.
  socket.on('error', () => {});
  socket.on('data', (bytes: Buffer) => note(client, bytes[0]!));
}

/** One that asks for as long as there is a report to come, and whose first answer has come. */
async function startFlow(address: string): Promise<void> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  sockets.push(socket);
  socket.on('error', () => {});
  socket.connect(options.flowPort, address);
  await once(socket, 'connect');
  const send = (): void => socket.send('?', () => {});
  send();
  timers.push(setInterval(send, flowPeriodMs));
  const [name] = (await once(socket, 'message', { signal: AbortSignal.timeout(openTimeoutMs) })) as [Buffer];
  const client = addClient('flow', name[0]!);
  note(client, name[0]!);
  socket.on('message', (bytes: Buffer) => note(client, bytes[0]!));
}

function addClient(kind: Asking['kind'], formerServer: number | undefined): Client {
  const client = {
    kind,
    ...(formerServer === undefined ? {} : { formerServer }),
    askedMs: monotonicMs(),
    answers: [],
    lastAnswerMs: Number.NEGATIVE_INFINITY,
  };
  clients.push(client);
  return client;
}

function isSettled({ kind, formerServer, answers }: Client): boolean {
  if (kind === 'held') return formerServer === options.deadServer || answers.length > 0;
  return answers.some(({ server }) => server !== options.deadServer);
}

function note(client: Client, server: number): void {
  const { answers } = client;
  client.lastAnswerMs = monotonicMs();
  if (answers.at(-1)?.server !== server) answers.push({ server, atMs: client.lastAnswerMs });
}
