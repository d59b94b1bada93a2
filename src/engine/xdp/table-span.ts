// SPDX-License-Identifier: Apache-2.0
import type { BpfObject } from './bpf-object.ts';
import { TotalsLayout } from './layout/structs.ts';
import { ways } from './limits.ts';
import { MappedArray } from './mapped-array.ts';
import { requiredMap } from './xdp-maps.ts';

/** The slots of both tables as one row: those of IPv4 first. A cursor is a place in it. */
export class TableSpan {
  readonly end: number;
  readonly #end4: number;
  readonly #totals: MappedArray;

  constructor(object: BpfObject) {
    this.#end4 = requiredMap(object, 'table4').maxEntries * ways;
    this.end = this.#end4 + requiredMap(object, 'table6').maxEntries * ways;
    this.#totals = new MappedArray(requiredMap(object, '.data.totals'));
  }

  /** Where the table that a place is in ends. */
  tableEnd(cursor: number): number {
    return cursor < this.#end4 ? this.#end4 : this.end;
  }

  /** Whether the table that a place is in holds no entry: it need not be looked at. */
  isEmptyAt(cursor: number): boolean {
    return this.#totals.readSigned(0, cursor < this.#end4 ? TotalsLayout.entries4 : TotalsLayout.entries6) <= 0;
  }
}
