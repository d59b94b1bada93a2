// SPDX-License-Identifier: Apache-2.0
import { isCrowded } from '../../connection/second-class.ts';
import type { ProtocolTimeouts } from '../../model/timeouts.ts';
import { TotalsLayout } from './layout/structs.ts';
import { writeTcpTimeouts } from './settings-record.ts';
import type { XdpMaps } from './xdp-maps.ts';

/** Keeps the timeouts of TCP connections: while the established table is crowded, the second class does not last as long. */
export class Crowding {
  readonly #maps: Pick<XdpMaps, 'settings' | 'totals'>;
  #timeouts: ProtocolTimeouts | undefined;
  #isCrowded = false;

  constructor(maps: Pick<XdpMaps, 'settings' | 'totals'>) {
    this.#maps = maps;
  }

  configure(timeouts: ProtocolTimeouts): void {
    this.#timeouts = timeouts;
    writeTcpTimeouts(this.#maps.settings, timeouts, this.#isCrowded);
  }

  /** To be called before each sweep. */
  follow(): void {
    const { settings, totals } = this.#maps;
    const entries = Math.max(0, totals.readSigned(0, TotalsLayout.established));
    const crowded = isCrowded(entries, totals.readWord(0, TotalsLayout.establishedMax));
    if (crowded === this.#isCrowded || this.#timeouts === undefined) return;
    this.#isCrowded = crowded;
    writeTcpTimeouts(settings, this.#timeouts, crowded);
  }
}
