// SPDX-License-Identifier: Apache-2.0
import { fingerprintServices } from '../../../sync/fingerprint.ts';
import type { GateState } from '../../../sync/gate.ts';
import type { Identity } from '../../../sync/publisher.ts';
import { SyncSession } from '../../../sync/session.ts';
import { defaultSyncTuning, type SyncTuning } from '../../../sync/tuning.ts';
import type { ConnectionPort, ExportPage } from '../../engine/engine.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { VirtualService } from '../../model/virtual-service.ts';
import type { ActiveHeard } from '../controls.ts';
import type { SyncTransport } from '../ports.ts';
import { ApplyQueue } from './apply-queue.ts';
import { Reports } from './reports.ts';
import { describeReplication, type ReplicationStatus } from './sync-status.ts';
import { TableResend } from './table-resend.ts';

export interface ReplicationOptions {
  readonly transport: SyncTransport;
  readonly connections: ConnectionPort;
  readonly clock: Clock;
  /** Sender id and epoch come from outside: see sync/publisher.ts for what they must satisfy. */
  readonly identity: Identity;
  /** As configured: their fingerprint is compared with the peers'. */
  readonly services: readonly VirtualService[];
  readonly log: Log;
  /** Called at each change; the gate begins as `joining`, closed. `open`: this director may preempt a living active one. */
  readonly onGate?: (gate: GateState, open: boolean) => void;
  /** Called at each change: whether what is published leaves. It does at first. */
  readonly onSending?: (leaves: boolean) => void;
  /** Settings that differ from the defaults, `datagramLength` for instance. */
  readonly tuning?: Partial<SyncTuning>;
}

/** Running connection synchronisation of one director. */
export interface Replication {
  readonly gate: GateState;
  /** How many peers are heard. */
  peersHeard(): number;
  status(): ReplicationStatus;
  /** VRRP hears another director as active, or (undefined) no longer. */
  setActiveHeard(heard: ActiveHeard | undefined): void;
  /** Tells the peers about a changed configuration. */
  reconfigure(services: readonly VirtualService[]): void;
  /** Sends `leave` to the peers and stops; the transport is closed. */
  close(): void;
}

/** Records that may wait for the table; beyond that, datagrams are refused (and requested again later). */
const applyRecordsMax = 65_536;
/** Before a failed read of a page or a failed write of a batch is repeated. */
const retryMs = 100;
/**
 * While a peer's connections are not all here, segments without a connection are not refused for this long; the time is
 * renewed every `expectationPeriodMs`.
 */
const expectationMs = 1_000;
/**
 * A peer that is not heard may go on opening connections. Their clients reach this director once the segment is whole
 * again, before the peer has sent their entries.
 */
const lostPeerMs = 30_000;
const expectationPeriodMs = 10;

/**
 * Joins a transport, a connection table and the protocol. Local events are sent as soon as the engine hands them over
 * (it collects them for at most 1 ms). Events of peers are applied in order, one write at a time; each write takes all
 * the batches that have arrived meanwhile.
 */
export function startReplication(options: ReplicationOptions): Replication {
  const { transport, connections, clock, log } = options;
  const tuning = { ...defaultSyncTuning, ...options.tuning };
  let closed = false;
  const reports = new Reports(options, () => session.status(clock.nowMs()));
  const expectation = new Expectation(connections);
  const timer = new DeadlineTimer(clock, () => drive(() => session.advance(clock.nowMs())));
  const queue = new ApplyQueue({
    connections,
    clock,
    log,
    recordsMax: applyRecordsMax,
    retryMs,
    onApplied: (batches) => drive(() => session.applied(batches, clock.nowMs())),
  });
  const session = new SyncSession(
    options.identity,
    tuning,
    fingerprintServices(options.services),
    {
      send: sender(options),
      apply: (batch) => queue.push(batch),
      exportPage: (cursor, recordsMax) =>
        readPage(options, cursor, recordsMax, (page) => drive(() => session.exported(page, clock.nowMs()))),
      peerLost: () => connections.expectRecords(lostPeerMs),
      gateChanged: (gate, open) => reports.gateChanged(gate, open),
      fingerprintCompared: (peer, equal) => reports.fingerprintCompared(peer, equal),
    },
    clock.nowMs(),
  );

  /** Runs a task that may change the session's deadline. */
  function drive(task: () => void): void {
    if (closed) return;
    task();
    if (session.gate === 'joining') expectation.renew(clock.nowMs());
    reports.look(clock.nowMs());
    timer.bringForward(session.nextDeadlineMs());
  }

  const publish = (batch: Int32Array): void => drive(() => session.publish(batch, clock.nowMs()));
  const resend = new TableResend({ connections, clock, log, publish });
  const defer = (release: () => void): void => drive(() => session.defer(release, clock.nowMs()));
  connections.onEvents(publish, () => resend.start(), tuning.defer ? defer : undefined);
  transport.onReceive((datagram, source) => drive(() => session.receive(datagram, source, clock.nowMs())));
  drive(() => {});

  return {
    get gate() {
      return session.gate;
    },
    peersHeard: () => session.peersHeard,
    setActiveHeard: (heard) => {
      reports.activeHeard = heard;
      drive(() => session.setActiveHeard(heard?.downIntervalMs, clock.nowMs()));
    },
    status: () => describeReplication(session.status(clock.nowMs()), queue.totals(), reports.forStatus()),
    reconfigure: (services) => drive(() => session.setFingerprint(fingerprintServices(services), clock.nowMs())),
    close: () => {
      if (closed) return;
      session.leave();
      closed = true;
      timer.stop();
      reports.close();
      queue.close();
      resend.close();
      transport.close();
    },
  };
}

/** Sends, and says when that begins to fail and when it works again. */
function sender({ transport, onSending }: ReplicationOptions): (datagram: Uint8Array) => void {
  let leaves = true;
  return (datagram) => {
    const left = transport.send(datagram);
    if (left === leaves) return;
    leaves = left;
    onSending?.(left);
  };
}

/** Gives the page, or undefined after a while when it could not be read. */
function readPage(
  { connections, clock, log }: ReplicationOptions,
  cursor: number,
  recordsMax: number,
  done: (page: ExportPage | undefined) => void,
): void {
  connections.exportPage(cursor, recordsMax).then(done, (error: unknown) => {
    log('warn', `a page of the connection table could not be read, trying again: ${String(error)}`);
    clock.callAt(clock.nowMs() + retryMs, () => done(undefined));
  });
}

/** A peer that is heard again, after a restart or a partition, may have connections that are not in the table yet. */
class Expectation {
  readonly #connections: ConnectionPort;
  #dueAtMs = Number.NEGATIVE_INFINITY;

  constructor(connections: ConnectionPort) {
    this.#connections = connections;
  }

  renew(nowMs: number): void {
    if (nowMs < this.#dueAtMs) return;
    this.#dueAtMs = nowMs + expectationPeriodMs;
    this.#connections.expectRecords(expectationMs);
  }
}

/** One timer for the earliest deadline. It may fire when nothing is due, which costs less than moving it every time. */
class DeadlineTimer {
  readonly #clock: Clock;
  readonly #onDue: () => void;
  #armedAtMs = Number.POSITIVE_INFINITY;
  #disarm = (): void => {};

  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  bringForward(deadlineMs: number): void {
    if (deadlineMs >= this.#armedAtMs) return;
    this.#disarm();
    this.#armedAtMs = deadlineMs;
    this.#disarm = this.#clock.callAt(deadlineMs, () => {
      this.#armedAtMs = Number.POSITIVE_INFINITY;
      this.#onDue();
    });
  }

  stop(): void {
    this.#disarm();
  }
}
