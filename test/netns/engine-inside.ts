// SPDX-License-Identifier: Apache-2.0
// Runs inside the namespaces of engine.test.ts: `engine INTERFACE...` is a portable engine that takes requests as lines
// of JSON on standard input, `server ADDRESS PORT` an HTTP server with a known body that reports the digest of the body
// it receives.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { isMainThread, MessageChannel, type MessagePort, Worker, workerData } from 'node:worker_threads';
import { runEngineThread } from '../../src/engine/portable/engine-thread.ts';
import { PortableEngine } from '../../src/engine/portable/portable-engine.ts';
import { RemoteEngine } from '../../src/engine/portable/remote-engine.ts';
import { MonotonicClock } from '../../src/platform/linux/monotonic-clock.ts';
import { RtnetlinkNextHopResolver } from '../../src/platform/linux/netlink/next-hop-resolver.ts';
import { PacketRing } from '../../src/platform/linux/packet/ring.ts';
import { Poller } from '../../src/platform/linux/process/poller.ts';
import { Wake } from '../../src/platform/linux/process/wake.ts';

const bodyLength = 64 << 20;

interface ThreadInput {
  readonly interfaces: readonly string[];
  readonly wakeFd: number;
  readonly requests: MessagePort;
}

if (!isMainThread) runThread(workerData as ThreadInput);
else if (process.argv[2] === 'engine') control(process.argv.slice(3));
else serve(process.argv[3]!, Number(process.argv[4]));

function runThread({ interfaces, wakeFd, requests }: ThreadInput): void {
  const clock = new MonotonicClock();
  const ports = interfaces.map((name) => new PacketRing(name));
  const resolver = new RtnetlinkNextHopResolver(ports, clock);
  const wake = new Wake(wakeFd);
  const poller = new Poller([...ports.map((port) => port.fd), resolver.fd, wakeFd]);
  const nowMs = (): number => clock.nowMs();
  const leases = { validUntilMs: () => Number.POSITIVE_INFINITY };
  runEngineThread({
    engine: new PortableEngine({ ports, resolver, leases, nowMs }),
    poll: (timeoutMs) => {
      poller.wait(timeoutMs);
      wake.drain();
    },
    nowMs,
    requests: [requests],
  });
  for (const port of ports) port.close();
}

function control(interfaces: readonly string[]): void {
  const wake = Wake.create();
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { interfaces, wakeFd: wake.fd, requests: port2 } satisfies ThreadInput,
    transferList: [port2],
  });
  const engine = new RemoteEngine(port1, () => wake.signal());
  worker.on('error', (error) => {
    console.error(error);
    process.exit(1);
  });
  createInterface({ input: process.stdin }).on('line', (line) => {
    const request = JSON.parse(line);
    void answer(engine, request).then((value) => console.log(JSON.stringify(value ?? null)));
  });
}

async function answer(engine: RemoteEngine, request: { configure?: never; counters?: true }): Promise<unknown> {
  if (request.configure !== undefined) return engine.configure(request.configure);
  if (request.counters) return engine.counters();
  await engine.close();
  setImmediate(() => process.exit(0));
  return undefined;
}

function serve(address: string, port: number): void {
  const body = Buffer.alloc(bodyLength);
  for (let i = 0, word = 1; i < bodyLength; i += 4) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    body.writeUInt32LE(word, i);
  }
  createServer((request, response) => {
    if (request.method === 'GET') {
      response.end(request.url === '/small' ? 'hello\n' : body);
      return;
    }
    const digest = createHash('sha256');
    request.on('data', (chunk) => digest.update(chunk));
    request.on('end', () => response.end(digest.digest('hex')));
  }).listen(port, address, () => console.log(createHash('sha256').update(body).digest('hex')));
}
