// SPDX-License-Identifier: Apache-2.0
import { parentPort, workerData } from 'node:worker_threads';
import { XdpConnectionPort } from '../../src/engine/xdp/connection-port.ts';
import { mailboxes } from '../../src/engine/xdp/mailbox.ts';
import {
  ConnectionEvent,
  protocolOf,
  RecordOffset,
  recordWords,
  stateOf,
  withEvent,
  withState,
} from '../../src/model/connection-batch.ts';
import { openBpfObject } from '../../src/platform/linux/bpf/object.ts';
import { openRingReader } from '../../src/platform/linux/bpf/ring-reader.ts';
import { type TableWorkerReport, type TableWorkerTask, tableFrames } from './xdp-table-scene.ts';

// One of several threads that work on the same table: it sends packets, or imports records as a peer would send them.

const task = workerData as TableWorkerTask;
const object = openBpfObject(task.descriptors);
const verdicts: Record<string, number> = {};
let state = task.seed;

/** A whole number below `end`. */
function random(end: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 0x1_0000_0000) * end);
}

const ready = (): number => Atomics.add(task.stop, 1, 1);
const stopped = (): boolean => Atomics.load(task.stop, 0) !== 0;
const report = (count: number): void =>
  parentPort!.postMessage({ role: task.role, count, verdicts } satisfies TableWorkerReport);

if (task.role === 'packets') report(sendPackets());
else report(await speakForPeer());

function sendPackets(): number {
  const program = object.programs.get('baton')!;
  const frames = tableFrames();
  const options = { ingressInterface: task.interfaceIndex };
  ready();
  let count = 0;
  for (; !stopped(); count += 100) {
    for (let i = 0; i < 100; i += 1) {
      // A third of the packets are of one flow in 36.
      const { verdict } = program.run(frames[Math.floor(frames.length * (random(1_000) / 1_000) ** 3)]!, options);
      verdicts[verdict] = (verdicts[verdict] ?? 0) + 1;
    }
  }
  return count;
}

/** Records of the table, slightly changed: removed, in another state, of another client or real server. */
async function speakForPeer(): Promise<number> {
  const clock = { nowMs: () => performance.now(), callAt: () => () => undefined };
  const events = openRingReader(object.maps.get('events')!);
  const port = new XdpConnectionPort({ object, mailbox: mailboxes.sync, clock, events });
  let count = 0;
  ready();
  while (!stopped()) {
    while (events.read(512, () => undefined) > 0);
    for (let cursor: number | undefined = 0; cursor !== undefined; ) {
      const { batch, next }: Awaited<ReturnType<typeof port.exportPage>> = await port.exportPage(cursor, 40);
      for (let at = 0; at < batch.length; at += recordWords) alter(batch, at);
      await port.applyBatch(batch);
      count += batch.length / recordWords;
      cursor = next;
    }
  }
  return count;
}

function alter(batch: Int32Array, at: number): void {
  const head = batch[at]!;
  const isTcp = protocolOf(head) === 6;
  const event = random(4) === 0 ? ConnectionEvent.remove : ConnectionEvent.upsert;
  const to = isTcp && random(2) === 0 ? [1, 3, 4, 5][random(4)]! : stateOf(head);
  batch[at] = withState(withEvent(head, event), to);
  if (random(3) === 0)
    batch[at + RecordOffset.ports] = (40_000 + random(6)) * 65_536 + (batch[at + RecordOffset.ports]! & 0xffff);
  if (random(4) === 0) batch[at + RecordOffset.realAddress] = batch[at + RecordOffset.realAddress]! ^ random(3);
}
