// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { EngineCounters } from '../../../src/engine/engine.ts';
import { type FromEngine, runEngineThread, type ToEngine } from '../../../src/engine/portable/engine-thread.ts';
import { PortableEngine } from '../../../src/engine/portable/portable-engine.ts';
import { RemoteConnectionPort, RemoteEngine } from '../../../src/engine/portable/remote-engine.ts';
import { recordWords } from '../../../src/model/connection-batch.ts';
import { tcpFrame } from '../../contract/frames.ts';
import { configurationOf } from '../../contract/scene.ts';
import { MemoryPort } from '../../support/memory-port.ts';

// The thread's body runs on this thread: `poll` is where it hands control back, by throwing, or where a story goes on.
class Asleep extends Error {}

function threadOf(requests: MessagePort[]): { run: (poll?: () => void) => void; clients: MemoryPort } {
  const clients = new MemoryPort('clients', 1);
  const servers = new MemoryPort('servers', 2);
  let time = 1000;
  const hop = { state: 'resolved', port: servers, macAddress: new Uint8Array(6) } as const;
  const engine = new PortableEngine({
    ports: [clients, servers],
    resolver: { resolve: () => hop, update: () => false },
    leases: { validUntilMs: () => Number.POSITIVE_INFINITY },
    nowMs: () => time,
    limits: { halfOpenMax: 100, establishedMax: 100 },
  });
  const sleep = (): void => {
    throw new Asleep();
  };
  const run = (poll = sleep): void => {
    time += 10;
    try {
      runEngineThread({ engine, poll, nowMs: () => time, requests, outstandingBatchesMax: 2 });
    } catch (error) {
      if (!(error instanceof Asleep)) throw error;
    }
  };
  return { run, clients };
}

test('a remote engine asks and is answered', async () => {
  const { port1, port2 } = new MessageChannel();
  const { run, clients } = threadOf([port2]);
  let wakes = 0;
  const engine = new RemoteEngine(port1, () => {
    wakes += 1;
  });
  const configured = engine.configure(configurationOf());
  run();
  await configured;
  clients.deliver(tcpFrame());
  const counters = engine.counters();
  run();
  assert.equal((await counters).services[0]!.connections, 1);
  const exported = engine.exportPage(0, 10);
  run();
  const page = await exported;
  assert.equal(page.batch.length, recordWords);
  const imported = engine.applyBatch(page.batch);
  assert.equal(page.batch.length, recordWords, 'the batch stays the caller’s');
  run();
  assert.deepEqual(await imported, {
    applied: 0,
    refusedLocal: 1,
    refusedUnknown: 0,
    refusedMethod: 0,
    refusedFull: 0,
  });
  assert.equal(wakes, 4);
  const broken = engine.configure({ ...configurationOf(), services: undefined as never });
  run();
  await assert.rejects(broken, /services/);
  const closed = engine.close();
  run();
  await closed;
  await assert.rejects(engine.counters(), /the engine is closed/);
});

test('what is outstanding when the thread ends is rejected', async () => {
  const { port1, port2 } = new MessageChannel();
  const engine = new RemoteEngine(port1, () => undefined);
  const sync = new RemoteConnectionPort(port1, () => undefined);
  const counters = engine.counters();
  port2.close();
  await assert.rejects(counters, /the engine thread has ended/);
  sync.fail(new Error('gone'));
  await assert.rejects(sync.exportPage(0, 1), /gone|the engine thread has ended/);
});

test('a listener that does not keep up loses events, is told so, and holds nobody up', () => {
  const { port1, port2 } = new MessageChannel();
  const { run, clients } = threadOf([port2]);
  const say = (message: ToEngine): void => port1.postMessage(message);
  const connect = (sourcePort: number): void => {
    clients.deliver(tcpFrame({ sourcePort, flags: 'S' }));
    clients.deliver(tcpFrame({ sourcePort, flags: 'A' }));
  };
  const heard: FromEngine[] = [];
  const listen = (): void => {
    for (let got = receiveMessageOnPort(port1); got !== undefined; got = receiveMessageOnPort(port1)) {
      heard.push(got.message);
    }
  };
  const steps: (() => void)[] = [
    () => say({ tell: 'events' }),
    ...[1, 2, 3, 4].map((sourcePort) => () => connect(sourcePort)),
    () => say({ tell: 'acknowledge' }),
    () => say({ id: 2, ask: 'counters', args: [] }),
    () => connect(5),
    () => say({ id: 3, ask: 'close', args: [] }),
  ];
  say({ id: 1, ask: 'configure', args: [configurationOf()] });
  run(() => steps.shift()!());
  listen();
  const story = heard.map((reply) => {
    if ('events' in reply) return `events ${reply.events.length / recordWords}`;
    if ('overrun' in reply) return `overrun ${reply.overrun}`;
    if ('refused' in reply) return reply.refused;
    const answer = reply.answer as Partial<EngineCounters> | undefined;
    return answer?.eventOverruns !== undefined ? `counted ${answer.eventOverruns}` : `done ${reply.id}`;
  });
  assert.deepEqual(story, ['done 1', 'events 2', 'events 2', 'overrun 4', 'counted 4', 'events 2', 'done 3']);
  port1.close();
});

test('the sync side is handed events and overruns', async () => {
  const { port1, port2 } = new MessageChannel();
  const events: number[] = [];
  const taken: string[] = [];
  const released: number[] = [];
  const sync = new RemoteConnectionPort(port1, () => taken.push('wake'), {
    takeBatch: (number) => taken.push(`${number} after ${events.length}`),
    releaseBatch: (number) => released.push(number),
  });
  const overrun = new Promise<void>((resolve) => sync.onEvents((batch) => events.push(batch.length), resolve));
  port2.postMessage({ events: new Int32Array(34), number: 7, awaited: true } satisfies FromEngine);
  port2.postMessage({ events: new Int32Array(17), number: 8, awaited: false } satisfies FromEngine);
  port2.postMessage({ overrun: 5 } satisfies FromEngine);
  await overrun;
  assert.deepEqual(events, [34, 17]);
  const subscribed = 'wake';
  assert.deepEqual(taken, [subscribed, '7 after 1', 'wake', '8 after 2'], 'only when it has been dealt with');
  assert.deepEqual(released, [7, 8], 'at once, as nobody defers it');
  assert.deepEqual(receiveMessageOnPort(port2)?.message, { tell: 'events' });
  assert.deepEqual(receiveMessageOnPort(port2)?.message, { tell: 'acknowledge' });
  assert.deepEqual(receiveMessageOnPort(port2)?.message, { tell: 'acknowledge' });
  port1.close();
});

test('what is deferred is released when it is due, and not by a later batch that nobody waits for', async () => {
  const { port1, port2 } = new MessageChannel();
  const story: string[] = [];
  const releases: (() => void)[] = [];
  const sync = new RemoteConnectionPort(port1, () => story.push('wake'), {
    takeBatch: (number) => story.push(`taken ${number}`),
    releaseBatch: (number) => story.push(`released ${number}`),
  });
  const hear = async (number: number, awaited: boolean): Promise<string[]> => {
    port2.postMessage({ events: new Int32Array(17), number, awaited } satisfies FromEngine);
    await once(port1, 'message');
    return story.splice(0);
  };
  sync.onEvents(
    () => undefined,
    undefined,
    (release) => releases.push(release),
  );
  story.splice(0);
  assert.deepEqual(await hear(7, true), ['taken 7']);
  assert.deepEqual(await hear(8, false), ['taken 8']);
  assert.deepEqual(await hear(9, true), ['taken 9']);
  releases.shift()!();
  assert.deepEqual(story.splice(0), ['released 7', 'wake']);
  assert.deepEqual(await hear(10, false), ['taken 10']);
  releases.shift()!();
  assert.deepEqual(story.splice(0), ['released 9', 'wake']);
  assert.deepEqual(await hear(11, false), ['taken 11', 'released 11'], 'nothing waits: the numbers keep up');
  port1.close();
});

test('a line that was closed is forgotten by the thread, and what it asks is refused', async () => {
  const [director, sync] = [new MessageChannel(), new MessageChannel()];
  const requests = [director.port2, sync.port2];
  const { run } = threadOf(requests);
  const connections = new RemoteConnectionPort(sync.port1, () => undefined);
  connections.onEvents(() => undefined);
  run();
  connections.close();
  run();
  assert.deepEqual(requests, [director.port2]);
  await assert.rejects(connections.exportPage(0, 1), /this line to the engine is closed/);
  director.port1.close();
});
