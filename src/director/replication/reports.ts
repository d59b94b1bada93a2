// SPDX-License-Identifier: Apache-2.0
import type { GateState } from '../../../sync/gate.ts';
import type { SessionStatus } from '../../../sync/surroundings.ts';
import type { Clock } from '../../lib/clock.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { Log } from '../../lib/log.ts';
import type { ActiveHeard } from '../controls.ts';
import type { SyncTransport } from '../ports.ts';
import { PacedLog } from './paced-log.ts';
import type { OwnSide } from './sync-status.ts';
import { type SyncWarning, syncWarning } from './warning.ts';

export interface ReportsOptions {
  readonly transport: Pick<SyncTransport, 'trouble' | 'impediment' | 'source'>;
  readonly identity: { readonly syncId: number };
  readonly log: Log;
  readonly clock: Clock;
  readonly onGate?: (gate: GateState, open: boolean) => void;
}

const lookPeriodMs = 1000;

/** Reports to the log and to the election. */
export class Reports {
  readonly #options: ReportsOptions;
  readonly #paced: PacedLog;
  readonly #status: () => SessionStatus;
  activeHeard: ActiveHeard | undefined;
  #lookAtMs = Number.NEGATIVE_INFINITY;
  /** What the last look found, and what was logged last. */
  #found: string | undefined;
  #said: string | undefined;

  constructor(options: ReportsOptions, status: () => SessionStatus) {
    this.#options = options;
    this.#paced = new PacedLog(options.log);
    this.#status = status;
  }

  gateChanged(gate: GateState, open: boolean): void {
    const { clock, onGate } = this.#options;
    const sentence = `connection synchronisation is ${gate === 'cutOff' ? 'cut off' : gate}`;
    this.#paced.write('gate', { level: 'info', sentence, fields: { gate, open } }, clock.nowMs());
    onGate?.(gate, open);
  }

  fingerprintCompared(peer: IpAddress, equal: boolean): void {
    const line = equal
      ? ({ level: 'info', sentence: `the virtual services of ${peer} are the same as here again` } as const)
      : ({
          level: 'warn',
          sentence: `the virtual services of ${peer} differ from those here; compare the two configurations`,
        } as const);
    this.#paced.write('fingerprint', { ...line, fields: { peer } }, this.#options.clock.nowMs());
  }

  forStatus(): OwnSide {
    return { warning: this.#warning(), source: this.#options.transport.source };
  }

  /** What is wrong at this moment. */
  #warning(): SyncWarning | undefined {
    const { transport, identity } = this.#options;
    return syncWarning({
      status: this.#status(),
      syncId: identity.syncId,
      heard: this.activeHeard,
      trouble: () => transport.trouble?.(),
      impediment: transport.impediment?.(),
    });
  }

  /** To be called often. Warns of what two looks in a row have found: a peer that has just been met is not wrong yet. */
  look(nowMs: number): void {
    if (nowMs < this.#lookAtMs) return;
    this.#lookAtMs = nowMs + lookPeriodMs;
    this.#paced.flush(nowMs);
    const warning = this.#warning();
    const lasts = warning?.kind === this.#found;
    this.#found = warning?.kind;
    if (!lasts || warning?.kind === this.#said) return;
    this.#said = warning?.kind;
    if (warning !== undefined) this.#options.log('warn', warning.sentence);
  }
}
