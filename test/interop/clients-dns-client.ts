// SPDX-License-Identifier: Apache-2.0
// A process of its own, at the client: a query every few milliseconds, each sent once only, most of them in one flow.
// The argument is the address. Says `under way`; when told `finish` on stdin it sends some more and says each query
// that was not answered, and each answer that was wrong, as JSON.
import { Resolver } from 'node:dns/promises';

const pauseMs = 4;
const timeoutMs = 1000;
const afterwards = 150;
const flowEvery = 25;

interface Failure {
  /** CLOCK_MONOTONIC, milliseconds. */
  readonly sentAtMs: number;
  readonly reason: string;
}

const lasting = resolver();
const failures: Failure[] = [];
const wrong: string[] = [];
let sent = 0;
let settled = 0;
let last = Number.POSITIVE_INFINITY;

const timer = setInterval(() => {
  if (sent < last) void query(sent++);
}, pauseMs);
process.stdin.once('data', () => {
  last = sent + afterwards;
});

function resolver(): Resolver {
  const made = new Resolver({ timeout: timeoutMs, tries: 1 });
  made.setServers([process.argv[2]!]);
  return made;
}

/** The server makes the address from the name: an answer to another query would be seen. */
async function query(number: number): Promise<void> {
  const numbers = [10, 1, (number >> 8) & 0xff, number & 0xff];
  const sentAtMs = Number(process.hrtime.bigint() / 1000n) / 1000;
  const asking = number % flowEvery === 0 ? resolver() : lasting;
  try {
    const answer = await asking.resolve4(`host-${numbers.join('-')}.pair.test`);
    if (answer.join() !== numbers.join('.')) wrong.push(`${numbers.join('.')}: ${answer.join()}`);
  } catch (error) {
    failures.push({ sentAtMs, reason: (error as NodeJS.ErrnoException).code ?? String(error) });
  }
  settled += 1;
  if (settled === 50) process.stdout.write('under way\n');
  if (settled === last) report();
}

function report(): void {
  clearInterval(timer);
  process.stdout.write(`${JSON.stringify({ sent, failures, wrong })}\n`, () => process.exit(0));
}
