// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { ActiveHeard, ReplicationControl } from '../../director/controls.ts';
import type { SignWriter } from '../../director/ports.ts';
import type { SyncStatus } from '../../director/status.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { Log } from '../../lib/log.ts';
import { OtherEndGone, RequestLine } from '../../lib/request-line.ts';
import type { SyncSettings } from '../../model/configuration.ts';
import { Sign } from '../../model/lease.ts';
import type { VirtualService } from '../../model/virtual-service.ts';
import { MonotonicClock } from '../../platform/linux/monotonic-clock.ts';
import type { EngineLine } from '../engine/forwarding.ts';
import type { ThreadSettings } from '../threads.ts';
import type { FromSyncThread, SyncRequests, SyncThreadSettings, ToSyncThread } from './thread.ts';

export interface SyncWorkerParts {
  readonly script: string;
  /** Identifies this director on the segment; unchanged by a restart. */
  readonly senderId: number;
  /** Rises with each start of a thread. */
  readonly nextEpoch: () => number;
  /** Opens a line of its own to the engine for each thread. */
  readonly openEngineLine: () => EngineLine;
  /** Throws a sentence while the interface cannot be used, so that neither a thread nor a line is opened in vain. */
  readonly verifyInterface: (settings: SyncSettings) => void;
  /** The memory in which the thread signs. */
  readonly memory: SignWriter;
  readonly log: Log;
}

/** A thread that fails is started again at once, and then once a second. */
const firstRestartDelayMs = 50;
const restartDelayMs = 1_000;
/** After so long without a thread clients matter more: their connections are admitted, although nobody hears of them. */
const unpublishedAfterMs = 3_000;
const statusTimeoutMs = 2_000;
const off: SyncStatus = { state: 'off', peers: [], counters: {} };

/** Keeps the sync thread running while there are settings for it; without any, the gate stays open. */
export class SyncWorker implements ReplicationControl {
  readonly #parts: SyncWorkerParts;
  #worker: Worker | undefined;
  #settings: SyncSettings | undefined;
  #services: readonly VirtualService[] = [];
  #gateOpen = true;
  #heard: ActiveHeard | undefined;
  /** The last reason why the thread could not be started again, logged once. */
  #restartFailure = '';
  #unpublished: NodeJS.Timeout | undefined;
  #onGate: (open: boolean) => void = () => undefined;
  readonly #requests = new RequestLine<SyncRequests>({
    otherEnd: 'the sync thread',
    post: (request) => this.#tell(request),
    timeout: { clock: new MonotonicClock(), answerTimeoutMs: statusTimeoutMs },
  });

  constructor(parts: SyncWorkerParts) {
    this.#parts = parts;
  }

  async configure(settings: SyncSettings | undefined, services: readonly VirtualService[]): Promise<void> {
    const unchanged = this.#worker !== undefined && isSameSync(settings, this.#settings);
    this.#settings = settings;
    this.#services = services;
    if (unchanged) {
      const virtualAddresses = settings?.virtualAddresses ?? new Set();
      return this.#tell({ kind: 'configuration', services, virtualAddresses });
    }
    await this.#stopWorker();
    if (settings === undefined) {
      this.#parts.memory.sign(Sign.publisher, Number.POSITIVE_INFINITY);
      return this.#setGate(true);
    }
    this.#setGate(false);
    return this.#start(settings);
  }

  onGate(listener: (open: boolean) => void): void {
    this.#onGate = listener;
    listener(this.#gateOpen);
  }

  status(): Promise<SyncStatus> {
    if (this.#worker === undefined) return Promise.resolve(this.#settings === undefined ? off : this.#down());
    return this.#requests.ask('status').catch((error: Error) => {
      if (error instanceof OtherEndGone) return this.#down();
      throw error;
    });
  }

  setActiveHeard(heard: ActiveHeard | undefined): void {
    this.#heard = heard;
    this.#tell({ kind: 'activeHeard', heard });
  }

  async stop(): Promise<void> {
    this.#settings = undefined;
    await this.#stopWorker();
  }

  async #start(sync: SyncSettings): Promise<void> {
    const { script, senderId, nextEpoch, openEngineLine, verifyInterface } = this.#parts;
    this.#leaveUnwatched();
    verifyInterface(sync);
    const engine = openEngineLine();
    const settings: SyncThreadSettings = {
      sync,
      senderId,
      epoch: nextEpoch(),
      services: this.#services,
      engine,
    };
    const workerData: ThreadSettings = { thread: 'sync', settings };
    const worker = new Worker(script, { workerData, transferList: engine.kind === 'portable' ? [engine.port] : [] });
    this.#worker = worker;
    this.setActiveHeard(this.#heard);
    return new Promise((resolve, reject) => {
      let ready = false;
      worker.on('message', (message: FromSyncThread) => {
        if ('id' in message || message.kind !== 'ready') return this.#receive(message);
        ready = true;
        this.#restartFailure = '';
        clearTimeout(this.#unpublished);
        this.#unpublished = undefined;
        return resolve();
      });
      worker.once('error', (error) => {
        if (ready) this.#parts.log('error', `the sync thread failed and is started again: ${error.message}`);
        reject(error);
      });
      worker.once('exit', () => this.#exited(worker));
    });
  }

  /** The thread has failed and is about to be started again. */
  #down(): SyncStatus {
    const reason = this.#restartFailure === '' ? 'it is started again' : this.#restartFailure;
    const warning = `the thread of connection synchronisation has failed, and this director does not preempt: ${reason}`;
    return { state: 'joining', mayPreempt: false, warning, peers: [], counters: {} };
  }

  #receive(message: FromSyncThread): void {
    if ('id' in message) this.#requests.receive(message);
    else if (message.kind === 'log') this.#parts.log(message.level, message.sentence, message.fields);
    else if (message.kind === 'gate') this.#setGate(message.open);
  }

  /** A director whose sync has failed has no proven copy: the gate closes until it has one again. */
  #exited(worker: Worker): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#leaveUnwatched();
    this.#requests.lose('the sync thread ended');
    if (this.#settings === undefined) return;
    this.#setGate(false);
    this.#unpublished ??= setTimeout(() => this.#admitUnpublished(), unpublishedAfterMs).unref();
    this.#restartLater(firstRestartDelayMs);
  }

  /** While there is no thread that could sign, or one is being started, the vrrp process waits for this process. */
  #leaveUnwatched(): void {
    this.#parts.memory.sign(Sign.sync, Number.POSITIVE_INFINITY);
    this.#parts.memory.sign(Sign.peer, 0);
  }

  /** The next thread that starts signs again. */
  #admitUnpublished(): void {
    this.#parts.memory.sign(Sign.publisher, Number.POSITIVE_INFINITY);
    const sentence = 'new connections are admitted again, but no peer hears of them: there is still no sync thread';
    this.#parts.log('error', sentence);
  }

  #restartLater(delayMs = restartDelayMs): void {
    setTimeout(() => {
      if (this.#settings === undefined || this.#worker !== undefined) return;
      this.#start(this.#settings).catch(({ message }: Error) => {
        // If the thread was started and failed, its exit schedules the next attempt.
        if (this.#worker === undefined) this.#restartLater();
        if (message === this.#restartFailure) return;
        this.#restartFailure = message;
        this.#parts.log('error', `the sync thread cannot be started again yet: ${message}`);
      });
    }, delayMs).unref();
  }

  async #stopWorker(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#tell({ kind: 'stop' });
    this.#worker = undefined;
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => void worker.terminate(), statusTimeoutMs);
      worker.once('exit', () => {
        clearTimeout(force);
        this.#leaveUnwatched();
        resolve();
      });
    });
  }

  #tell(message: ToSyncThread): void {
    this.#worker?.postMessage(message);
  }

  #setGate(open: boolean): void {
    if (open === this.#gateOpen) return;
    this.#gateOpen = open;
    this.#onGate(open);
  }
}

/** The thread takes other virtual addresses as it runs. */
function isSameSync(one: SyncSettings | undefined, other: SyncSettings | undefined): boolean {
  const virtualAddresses = new Set<IpAddress>();
  return isDeepStrictEqual(one && { ...one, virtualAddresses }, other && { ...other, virtualAddresses });
}
