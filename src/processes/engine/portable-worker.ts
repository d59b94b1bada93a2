// SPDX-License-Identifier: Apache-2.0
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { RemoteEngine } from '../../engine/portable/remote-engine.ts';
import type { Log } from '../../lib/log.ts';
import type { Wake } from '../../platform/linux/process/wake.ts';
import type { ThreadSettings } from '../threads.ts';
import type { AdoptPort, EngineThreadSettings, FromEngineThread } from './portable-thread.ts';

/** The portable engine's thread, as its parent sees it. */
export interface EngineWorker {
  readonly engine: RemoteEngine;
  /** Another line to the engine, for another thread. */
  readonly openLine: () => MessagePort;
  /** Resolves with the reason if the thread ends without having been asked to. */
  readonly ended: Promise<Error>;
}

/** Starts the thread. Rejects with its sentence when an interface or a privilege is missing. */
export async function startEngineWorker(
  script: string,
  settings: EngineThreadSettings,
  wake: Wake,
  log: Log,
): Promise<EngineWorker> {
  const workerData: ThreadSettings = { thread: 'engine', settings };
  const worker = new Worker(script, { workerData });
  await new Promise<void>((resolve, reject) => {
    worker.on('message', (message: FromEngineThread) => {
      if (message.kind === 'ready') resolve();
      else log(message.level, message.sentence);
    });
    worker.once('error', reject);
  });
  const openLine = (): MessagePort => {
    const { port1, port2 } = new MessageChannel();
    worker.postMessage({ adopt: port2 } satisfies AdoptPort, [port2]);
    wake.signal();
    return port1;
  };
  const engine = new RemoteEngine(openLine(), () => wake.signal());
  const ended = new Promise<Error>((resolve) => {
    worker.once('error', (error) => resolve(new Error(`the engine thread failed: ${error.message}`)));
    worker.once('exit', () => resolve(new Error('the engine thread ended')));
  });
  void ended.then((reason) => engine.fail(reason));
  return { engine, openLine, ended };
}
