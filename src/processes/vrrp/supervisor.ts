// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, fork } from 'node:child_process';
import type { RouterAssignment } from '../../director/address-plan.ts';
import type { ActiveHeard, ElectionControl } from '../../director/controls.ts';
import { addressMessages, advertisementOf } from '../../director/election/packets.ts';
import type { AddressKeeper, LeaseWriter, VrrpTransport } from '../../director/ports.ts';
import type { VirtualRouterStatus } from '../../director/status.ts';
import { errorSentence } from '../../lib/error-sentence.ts';
import type { Log } from '../../lib/log.ts';
import { RequestLine } from '../../lib/request-line.ts';
import type { VirtualRouter, VirtualRouterState } from '../../model/virtual-router.ts';
import { MonotonicClock } from '../../platform/linux/monotonic-clock.ts';
import { DescriptorChannel } from '../../platform/linux/process/descriptor-passing.ts';
import type { Predecessor } from '../../succession/predecessor.ts';
import { closeAll, emitDescriptors, type SuccessorDescriptors } from '../../succession/successor-descriptors.ts';
import { lineDescriptor } from '../../succession/vrrp-succession.ts';
import { leaseDescriptor } from './process.ts';
import type { FromVrrpProcess, ToVrrpProcess, VrrpRequests } from './requests.ts';

export interface VrrpSupervisorParts {
  /** The script that becomes the vrrp process when started with `arguments`. */
  readonly script: string;
  readonly arguments: readonly string[];
  readonly leaseFd: number;
  readonly leaseWriter: LeaseWriter;
  readonly addressKeeper: AddressKeeper;
  /** Opened only to resign in the name of a vrrp process that died. */
  readonly openTransport: () => VrrpTransport;
  /**
   * Given where the kernel forwards without the director: the vrrp process outlives a director that dies, holds these
   * descriptors, and the next director finds it by the run-dir. Absent: it resigns at once.
   */
  readonly forSuccessor?: SuccessorDescriptors & { readonly runDirectory: string };
  /**
   * A vrrp process that has outlived the former director: the first one started here continues in its place. Without
   * `forSuccessor` it is dismissed first, and its descriptors are closed.
   */
  readonly predecessor?: Predecessor;
  readonly log: Log;
}

const firstRestartDelayMs = 50;
const restartDelayMaxMs = 5_000;
const answerTimeoutMs = 5_000;
/**
 * V8 gives parts of a collection to threads of ordinary priority and waits for them. On a busy machine the election, with
 * all its real-time priority, was seen to stand still for 0.2 s, probably for that. A collection of its own is late by less.
 */
const collectAlone = '--single-threaded-gc';

/**
 * Keeps a vrrp process running. If it dies, the director resigns in its name at once: it revokes the leases, removes
 * the addresses and sends priority 0, so that the peer need not wait for its active down interval. Then it is started
 * again.
 */
export class VrrpSupervisor implements ElectionControl {
  readonly #parts: VrrpSupervisorParts;
  readonly #requests = new RequestLine<VrrpRequests>({
    otherEnd: 'the vrrp process',
    post: (request) => {
      if (!this.#tell(request)) this.#requests.lose('the vrrp process is not running');
    },
    timeout: { clock: new MonotonicClock(), answerTimeoutMs },
  });
  #child: ChildProcess | undefined;
  /** The director's end of the line over which descriptors are passed. */
  #line: DescriptorChannel | undefined;
  #forSuccessor: SuccessorDescriptors | undefined;
  /** Set until the vrrp process here has replaced it. */
  #predecessor: Predecessor | undefined;
  #assignments: readonly RouterAssignment[] = [];
  #active = new Set<string>();
  #gateOpen = false;
  #onActiveHeard: (heard: ActiveHeard | undefined) => void = () => undefined;
  #onTransition: (from: VirtualRouterState, to: VirtualRouterState) => void = () => undefined;
  #stopping = false;
  #ready = false;
  #readyAtMs = 0;
  #restartDelayMs = firstRestartDelayMs;
  #restartTimer: NodeJS.Timeout | undefined;

  constructor(parts: VrrpSupervisorParts) {
    this.#parts = parts;
    this.#forSuccessor = parts.forSuccessor;
    this.#predecessor = parts.predecessor;
  }

  async configure(assignments: readonly RouterAssignment[]): Promise<void> {
    this.#assignments = assignments;
    const sentences = await this.#configureChild();
    if (sentences.length > 0) throw new Error([...new Set(sentences)].join('; '));
  }

  setGate(open: boolean): void {
    this.#gateOpen = open;
    this.#tell({ gateOpen: open });
  }

  onActiveHeard(listener: (heard: ActiveHeard | undefined) => void): void {
    this.#onActiveHeard = listener;
  }

  onTransition(listener: (from: VirtualRouterState, to: VirtualRouterState) => void): void {
    this.#onTransition = listener;
  }

  /** For example when an interface is back. Rejects with a sentence when `forSuccessor` was not set from the start. */
  async changeForSuccessor(forSuccessor: SuccessorDescriptors): Promise<void> {
    if (this.#parts.forSuccessor === undefined) throw new Error('the vrrp process was not set up to hold descriptors');
    this.#forSuccessor = forSuccessor;
    // A process that is being started gets them when it is ready.
    if (this.#child !== undefined && this.#ready) await this.#passDescriptors();
  }

  handOver(): Promise<readonly string[]> {
    return this.#requests.ask('handOver');
  }

  status(): Promise<readonly VirtualRouterStatus[]> {
    return this.#child === undefined ? Promise.resolve([]) : this.#requests.ask('status');
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restartTimer);
    await this.#dismissPredecessor();
    const child = this.#child;
    if (child === undefined) return;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    await this.#requests.ask('stop').catch((error: Error) => {
      this.#parts.log('error', `the vrrp process does not stop: ${error.message}; it is killed`);
      child.kill('SIGKILL');
    });
    if (child.connected) child.disconnect();
    await exited;
    this.#line?.close();
    this.#line = undefined;
  }

  /** Starts a process when there is none. Gives sentences about interfaces that cannot be used. */
  async #configureChild(): Promise<readonly string[]> {
    if (this.#parts.forSuccessor === undefined) await this.#discardPredecessor();
    if (this.#child === undefined) {
      await this.#start();
      // The gate may have opened before there was a process, and without sync it does not change again.
      this.setGate(this.#gateOpen);
      await this.#passDescriptors();
    }
    const assignments = this.#assignments;
    const predecessor = this.#predecessor;
    if (predecessor === undefined) return this.#requests.ask('configure', assignments);
    const sentences = await this.#requests.ask('configure', assignments, predecessor.successorNumber);
    await this.#dismissPredecessor();
    return sentences;
  }

  /** The predecessor has been replaced, unless this director ends before that. */
  async #dismissPredecessor(): Promise<void> {
    const predecessor = this.#predecessor;
    this.#predecessor = undefined;
    await predecessor?.dismiss();
  }

  /** The predecessor's program in the kernel stops forwarding when its last descriptor is closed. */
  async #discardPredecessor(): Promise<void> {
    const descriptors = this.#predecessor?.descriptors ?? [];
    await this.#dismissPredecessor();
    closeAll(descriptors.map(({ fd }) => fd));
  }

  async #passDescriptors(): Promise<void> {
    const forSuccessor = this.#forSuccessor;
    if (forSuccessor === undefined || this.#line === undefined) return;
    const descriptors = forSuccessor.descriptors.map(({ fd }) => fd);
    const sent = this.#line.send(emitDescriptors(forSuccessor), descriptors);
    if (!sent) throw new Error('the vrrp process does not take descriptors');
    await this.#requests.ask('holdDescriptors');
  }

  #start(): Promise<void> {
    const { log } = this.#parts;
    const child = this.#fork();
    this.#child = child;
    this.#ready = false;
    return new Promise((resolve, reject) => {
      const ended = (reason: string): void => {
        if (this.#child === child) this.#child = undefined;
        this.#onActiveHeard(undefined);
        this.#requests.lose('the vrrp process ended');
        if (this.#ready) this.#exited(reason);
        else reject(new Error(`the vrrp process ended while starting (${reason})`));
      };
      child.on('message', (message: FromVrrpProcess) => {
        if ('id' in message || (message.kind !== 'ready' && message.kind !== 'unable')) return this.#receive(message);
        if (message.kind === 'unable') return reject(new Error(message.sentence));
        this.#ready = true;
        this.#readyAtMs = performance.now();
        return resolve();
      });
      child.on('error', (error) => {
        log('error', `the vrrp process cannot be started or reached: ${error.message}`);
        if (child.pid === undefined) ended(error.message);
      });
      child.once('exit', (code, signal) => ended(String(signal ?? code)));
    });
  }

  #fork(): ChildProcess {
    const { script, arguments: args, leaseFd, forSuccessor } = this.#parts;
    const stdio: (string | number)[] = ['ignore', 'inherit', 'inherit', 'ipc'];
    stdio[leaseDescriptor] = leaseFd;
    const execArgv = [...process.execArgv, collectAlone];
    const options = { serialization: 'advanced', stdio: stdio as never, execArgv } as const;
    if (forSuccessor === undefined) return fork(script, [...args], options);
    this.#line?.close();
    const [line, far] = DescriptorChannel.pair();
    this.#line = line;
    stdio[lineDescriptor] = far.fd;
    try {
      return fork(script, [...args, forSuccessor.runDirectory], options);
    } finally {
      far.close();
    }
  }

  #receive(message: Exclude<FromVrrpProcess, { kind: 'ready' | 'unable' }>): void {
    if ('id' in message) this.#requests.receive(message);
    else if (message.kind === 'log') this.#parts.log(message.level, message.sentence, message.fields);
    else if (message.kind === 'transition') this.#onTransition(message.from, message.to);
    else if (message.kind === 'activeHeard') this.#onActiveHeard(message.heard);
    else this.#active = new Set(message.names);
  }

  #tell(message: ToVrrpProcess): boolean {
    if (this.#child?.connected !== true) return false;
    this.#child.send(message, (error) => {
      if (error !== null) this.#parts.log('warn', `the vrrp process cannot be told: ${error.message}`);
    });
    return true;
  }

  #exited(reason: string): void {
    if (this.#stopping) return;
    // Until the process has replaced its predecessor, the predecessor is active and no resignation is due.
    const spoke = this.#predecessor === undefined;
    if (spoke) this.#resignInItsName();
    const resigned = spoke ? 'resigned in its name, ' : '';
    this.#parts.log('error', `the vrrp process ended (${reason}); ${resigned}starting it again`);
    if (performance.now() - this.#readyAtMs > restartDelayMaxMs) this.#restartDelayMs = firstRestartDelayMs;
    this.#scheduleRestart();
  }

  #scheduleRestart(): void {
    if (this.#restartTimer !== undefined) return;
    this.#restartTimer = setTimeout(() => {
      this.#restartTimer = undefined;
      void this.#restart();
    }, this.#restartDelayMs);
    this.#restartDelayMs = Math.min(this.#restartDelayMs * 2, restartDelayMaxMs);
  }

  async #restart(): Promise<void> {
    // A reload may have been quicker.
    if (this.#stopping || this.#child !== undefined) return;
    try {
      for (const sentence of await this.#configureChild()) this.#parts.log('error', sentence);
    } catch (error) {
      if (this.#stopping) return;
      this.#parts.log('error', `${errorSentence(error)}; starting the vrrp process again`);
      // If the process runs and does not answer, it is killed, and its exit schedules the next attempt.
      if (!this.#killChild()) this.#scheduleRestart();
    }
  }

  #killChild(): boolean {
    return this.#child?.kill('SIGKILL') ?? false;
  }

  #resignInItsName(): void {
    const { leaseWriter, addressKeeper, openTransport, log } = this.#parts;
    for (const { leaseSlot } of this.#assignments) leaseWriter.revoke(leaseSlot);
    const held = this.#assignments.filter(({ router }) => this.#active.has(router.name));
    this.#active.clear();
    if (held.length === 0) return;
    try {
      for (const { router, installed } of held) {
        for (const { address, prefixLength, interface: name } of router.addresses) {
          if (installed.has(address)) addressKeeper.remove(address, prefixLength, name);
        }
      }
      sayFarewell(
        openTransport(),
        held.map(({ router }) => router),
      );
    } catch (error) {
      log('error', `cannot resign in the name of the vrrp process: ${errorSentence(error)}`);
    }
  }
}

function sayFarewell(transport: VrrpTransport, routers: readonly VirtualRouter[]): void {
  let waiting = 0;
  for (const router of routers) {
    const { interface: name, family, advertIntervalMs, addresses } = router;
    const list = addresses.map(({ address }) => address);
    const source = transport.open(name, family, router);
    const farewell = advertisementOf(router, 0, advertIntervalMs, list);
    for (const { message, endpoints } of addressMessages(router, source, farewell)) {
      waiting += 1;
      const onSent = (): void => {
        waiting -= 1;
        if (waiting === 0) transport.close();
      };
      transport.send(name, family, message, onSent, endpoints);
    }
  }
}
