// SPDX-License-Identifier: Apache-2.0
import type { Prng } from '../../src/lib/prng.ts';
import { packHead, RecordOffset, recordWords } from '../../src/model/connection-batch.ts';
import { TcpState } from '../../src/model/tcp-state.ts';
import type { SimulatedTime } from '../support/simulated-time.ts';
import { type EngineTimes, keyOf, type SimulatedEngine } from './engine.ts';
import { chance } from './plan.ts';
import type { Session } from './session.ts';

export interface SessionsSetting {
  readonly time: SimulatedTime;
  readonly dice: Prng;
  readonly times: EngineTimes;
  readonly routers: number;
  /** The engine to which the switch sends packets for an address since the last announcement. */
  readonly engineAt: (router: number) => { readonly name: string; readonly engine: SimulatedEngine } | undefined;
  readonly onForwarded: (session: Session, director: string) => void;
  /** The client has seen its session established. */
  readonly onEstablished: (session: Session, director: string) => void;
  readonly onBroken: (session: Session, director: string) => void;
}

/** From the real server's SYN-ACK, which the director does not see, to the client's ACK. */
const handshakeMs = 0.3;

/** Clients: each keeps one session going, closes it now and then and opens the next. */
export class Sessions {
  readonly #setting: SessionsSetting;
  #next = 0;
  readonly #byKey = new Map<string, Session>();
  #stopped = false;
  opened = 0;
  broken = 0;

  constructor(setting: SessionsSetting, count: number) {
    this.#setting = setting;
    for (let i = 0; i < count; i += 1) this.#startClient();
  }

  /** Whether the client of a connection has closed it. */
  isOver(key: string): boolean {
    return this.#byKey.get(key)?.phase === 'over';
  }

  /** A failure begins: it does not break what nobody knows. */
  loseUnknown(isKnown: (key: string) => boolean): void {
    for (const [key, session] of this.#byKey) {
      const isEstablished = session.phase === 'established' || session.phase === 'closing';
      session.lost ||= isEstablished && !isKnown(key);
    }
  }

  /** Opens and closes no session from here on; the existing ones go on. */
  settle(): void {
    this.#stopped = true;
  }

  #startClient(): void {
    const { dice, time, routers } = this.#setting;
    const router = dice.below(routers);
    let session = this.#open(router);
    const turn = (): void => {
      if (session.phase === 'over') session = this.#open(router);
      else if (session.phase === 'established' && !this.#stopped && chance(dice, 0.04)) session.phase = 'closing';
      if (session.phase !== 'opening' || !this.#stopped) this.#send(session);
      time.callAt(time.nowMs() + 40 + dice.below(200), turn);
    };
    time.callAt(time.nowMs() + dice.below(200), turn);
  }

  #send(session: Session): void {
    const { engineAt, onBroken, onForwarded } = this.#setting;
    const place = engineAt(session.leaseSlot);
    place?.engine.packet(session, (verdict) => {
      if (session.phase === 'over') return;
      if (verdict === 'reset') {
        session.phase = 'over';
        this.broken += 1;
        onBroken(session, place.name);
      }
      if (verdict !== 'forwarded') return;
      onForwarded(session, place.name);
      if (session.phase === 'opening') this.#establish(session, place.name);
      else if (session.phase === 'closing') session.phase = 'over';
    });
  }

  #establish(session: Session, director: string): void {
    const { onEstablished, time } = this.#setting;
    time.callAt(time.nowMs() + handshakeMs, () => {
      // The answer to a repeated SYN may have come before.
      if (session.phase !== 'opening') return;
      session.phase = 'established';
      session.establishedMs = time.nowMs();
      this.opened += 1;
      onEstablished(session, director);
      this.#send(session);
    });
  }

  #open(router: number): Session {
    const number = this.#next++;
    const record = new Int32Array(recordWords);
    const { established } = TcpState;
    record[0] = packHead({
      event: 1,
      protocol: 6,
      state: established,
      family: 'ipv4',
      local: true,
      forwardingMethod: 0,
    });
    record[RecordOffset.ports] = ((1024 + number) << 16) | (8000 + router);
    record[RecordOffset.realPort] = 8080;
    record[RecordOffset.timeoutMs] = this.#setting.times.establishedMs;
    record[RecordOffset.clientAddress] = 0xcb007105 | 0;
    record[RecordOffset.virtualAddress] = 0xc633640a + router;
    record[RecordOffset.realAddress] = 0x0a000001 + (number % 4);
    const session: Session = {
      number,
      leaseSlot: router,
      record,
      phase: 'opening',
      establishedMs: Number.POSITIVE_INFINITY,
      safe: false,
      lost: false,
    };
    this.#byKey.set(keyOf(record), session);
    return session;
  }
}
