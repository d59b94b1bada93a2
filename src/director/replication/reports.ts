// SPDX-License-Identifier: Apache-2.0
import type { GateState } from '../../../sync/gate.ts';
import type { SessionStatus } from '../../../sync/surroundings.ts';
import type { Clock } from '../../lib/clock.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { Log } from '../../lib/log.ts';
import { BoundedLog } from '../bounded-log.ts';
import type { ActiveHeard } from '../controls.ts';
import type { SyncTransport } from '../ports.ts';
import type { OwnSide } from './sync-status.ts';
import { type SyncWarning, syncWarning } from './warning.ts';

export interface ReportsOptions {
  readonly transport: Pick<SyncTransport, 'trouble' | 'impediment' | 'source'>;
  readonly identity: { readonly syncId: number };
  readonly tuning?: { readonly defer?: boolean };
  readonly log: Log;
  readonly clock: Clock;
  readonly onGate?: (gate: GateState, open: boolean) => void;
}

const lookPeriodMs = 1000;

/** Reports to the log and to the election. */
export class Reports {
  readonly #options: ReportsOptions;
  readonly #log: BoundedLog<Readonly<Record<string, unknown>> | undefined>;
  readonly #status: () => SessionStatus;
  activeHeard: ActiveHeard | undefined;
  #lookAtMs = Number.NEGATIVE_INFINITY;
  /** What the last look found, and what was logged last. */
  #found: string | undefined;
  #said: string | undefined;

  constructor(options: ReportsOptions, status: () => SessionStatus) {
    this.#options = options;
    this.#log = new BoundedLog(options.clock, options.log);
    this.#status = status;
  }

  gateChanged(gate: GateState, open: boolean): void {
    const { onGate } = this.#options;
    const sentence = `connection synchronisation is ${gate === 'cutOff' ? 'cut off' : gate}`;
    this.#log.write('gate', 'info', sentence, { gate, open });
    onGate?.(gate, open);
  }

  fingerprintCompared(peer: IpAddress, equal: boolean): void {
    const [level, sentence] = equal
      ? (['info', `the virtual services of ${peer} are the same as here again`] as const)
      : (['warn', `the virtual services of ${peer} differ from those here; compare the two configurations`] as const);
    this.#log.write('fingerprint', level, sentence, { peer });
  }

  forStatus(): OwnSide {
    return { warning: this.#warning(), source: this.#options.transport.source };
  }

  /** What is wrong at this moment. */
  #warning(): SyncWarning | undefined {
    const { transport, identity, tuning } = this.#options;
    return syncWarning({
      status: this.#status(),
      syncId: identity.syncId,
      heard: this.activeHeard,
      trouble: () => transport.trouble?.(),
      defer: tuning?.defer === true,
      impediment: transport.impediment?.(),
    });
  }

  /** To be called often. Warns of what two looks in a row have found: a peer that has just been met is not wrong yet. */
  look(nowMs: number): void {
    if (nowMs < this.#lookAtMs) return;
    this.#lookAtMs = nowMs + lookPeriodMs;
    const warning = this.#warning();
    const lasts = warning?.kind === this.#found;
    this.#found = warning?.kind;
    if (!lasts || warning?.kind === this.#said) return;
    this.#said = warning?.kind;
    if (warning !== undefined) this.#options.log('warn', warning.sentence);
  }

  close(): void {
    this.#log.close();
  }
}
