// SPDX-License-Identifier: Apache-2.0
// A process of its own, at the client: a query every few milliseconds. Most are in one flow, from one socket; some are
// in a flow of their own each; these are sent once only. The others are those of Node's resolver, which sends again. The
// argument is the address. Says `under way`; when told `finish` on stdin it sends some more and says each query that was
// not answered, and each answer that was wrong, as JSON.
import { createSocket, type Socket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';

const pauseMs = 4;
const timeoutMs = 1000;
const afterwards = 150;
/** Of so many queries one is in a flow of its own, and one is the resolver's. */
const turn = 5;

interface Failure {
  /** CLOCK_MONOTONIC, milliseconds. */
  readonly sentAtMs: number;
  readonly by: string;
  readonly reason: string;
}

type Asking = (number: number) => Promise<string>;

const server = process.argv[2]!;
const waiting = new Map<number, (address: string) => void>();
const failures: Failure[] = [];
const wrong: string[] = [];
let sent = 0;
let settled = 0;
let last = Number.POSITIVE_INFINITY;

// Its timeout is only the first one: c-ares (ares_metrics.c) then waits five times as long as answers have taken, 250 ms
// at least, and on a busy machine one may take longer. So it asks again, as often as it does for everybody.
const resolver = new Resolver();
resolver.setServers([server]);

const socket = createSocket('udp4');
socket.on('message', (answer) => waiting.get(answer.readUInt16BE(0))?.(addressIn(answer)));
socket.connect(53, server, () => {
  const timer = setInterval(() => {
    if (sent === last) clearInterval(timer);
    else {
      void query(sent, sent % turn === 0 ? askResolver : sent % turn === 1 ? askFlow : askSocket);
      sent += 1;
    }
  }, pauseMs);
});
process.stdin.once('data', () => {
  last = sent + afterwards;
});

/** The server makes the address from the name: an answer to another query would be seen. */
async function query(number: number, ask: Asking): Promise<void> {
  const sentAtMs = Number(process.hrtime.bigint() / 1000n) / 1000;
  try {
    const answer = await ask(number);
    if (answer !== addressOf(number).join('.')) wrong.push(`${addressOf(number).join('.')}: ${answer}`);
  } catch (error) {
    failures.push({ sentAtMs, by: ask.name, reason: (error as NodeJS.ErrnoException).code ?? String(error) });
  }
  settled += 1;
  if (settled === 50) process.stdout.write('under way\n');
  if (settled === last) report();
}

async function askResolver(number: number): Promise<string> {
  return (await resolver.resolve4(nameOf(number))).join();
}

function askSocket(number: number): Promise<string> {
  return inTime(
    (resolve) => {
      waiting.set(number, resolve);
      socket.send(emitQuery(number), () => undefined);
    },
    () => waiting.delete(number),
  );
}

function askFlow(number: number): Promise<string> {
  let flow: Socket | undefined;
  return inTime(
    (resolve, reject) => {
      flow = createSocket('udp4', (answer) => resolve(addressIn(answer)));
      flow.on('error', reject);
      flow.connect(53, server, () => flow?.send(emitQuery(number)));
    },
    () => flow?.close(),
  );
}

/** Rejects as the resolver does when there is no answer in time; `end` is called either way. */
function inTime(
  begin: (resolve: (address: string) => void, reject: (error: Error) => void) => void,
  end: () => void,
): Promise<string> {
  let timer: NodeJS.Timeout;
  const answered = new Promise<string>((resolve, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('no answer'), { code: 'ETIMEOUT' })), timeoutMs);
    begin(resolve, reject);
  });
  return answered.finally(() => {
    clearTimeout(timer);
    end();
  });
}

/** RFC 1035 section 4.1.1: no error, one answer, whose address is its end. */
function addressIn(answer: Buffer): string {
  const good = answer.length > 16 && (answer[3]! & 0x0f) === 0 && answer.readUInt16BE(6) === 1;
  return good ? answer.subarray(-4).join('.') : `an answer of ${answer.length} bytes`;
}

/** RFC 1035 section 4.1: recursion desired, one question, of type A and class IN. */
function emitQuery(number: number): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(number, 0);
  head.writeUInt16BE(0x0100, 2);
  head.writeUInt16BE(1, 4);
  const labels = nameOf(number).split('.');
  const name = labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  return Buffer.concat([head, ...name, Buffer.from([0, 0, 1, 0, 1])]);
}

function nameOf(number: number): string {
  return `host-${addressOf(number).join('-')}.pair.test`;
}

function addressOf(number: number): number[] {
  return [10, 1, number >> 8, number & 0xff];
}

function report(): void {
  process.stdout.write(`${JSON.stringify({ sent, failures, wrong })}\n`, () => process.exit(0));
}
