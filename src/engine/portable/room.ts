// SPDX-License-Identifier: Apache-2.0
import { givesWayAfterMs, looksForRoomMax } from '../../connection/second-class.ts';
import { protocolNumbers } from '../../model/virtual-service.ts';
import type { ConnectionTable } from './connection-table.ts';
import { absent, EntryFlag, EntryWord, entryShift } from './entry-layout.ts';

const wanted = protocolNumbers.tcp | EntryFlag.used | EntryFlag.secondClass;
const wantedMask = 0xff | EntryFlag.used | EntryFlag.secondClass | EntryFlag.halfOpen | EntryFlag.template;

/**
 * A hand that goes round the table and finds an established entry of the second class that gives way: the next one that has
 * been silent for long enough. Each is passed as often as the others, so that the order is nearly that of their age.
 */
export class Room {
  readonly #table: ConnectionTable;
  #position = 0;

  constructor(table: ConnectionTable) {
    this.#table = table;
  }

  find(nowMs: number): number {
    const { words, highWater, secondClassCount } = this.#table;
    if (secondClassCount === 0) return absent;
    for (let left = Math.min(looksForRoomMax, highWater); left > 0; left -= 1) {
      if (this.#position >= highWater) this.#position = 0;
      const entry = this.#position << entryShift;
      this.#position += 1;
      if ((words[entry + EntryWord.head]! & wantedMask) !== wanted) continue;
      if ((nowMs - words[entry + EntryWord.lastSeen]!) >>> 0 >= givesWayAfterMs) return entry;
    }
    return absent;
  }
}
