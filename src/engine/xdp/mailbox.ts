// SPDX-License-Identifier: Apache-2.0
import { recordWords } from '../../model/connection-batch.ts';
import { type ApplyOutcome, nothingApplied } from '../engine.ts';
import type { BpfObject, BpfProgram } from './bpf-object.ts';
import { MailboxLayout } from './layout/structs.ts';
import { mailboxEnd, mailboxRecords } from './limits.ts';
import { MappedArray } from './mapped-array.ts';
import { requiredMap } from './xdp-maps.ts';

/** One each for the threads that work on the table: a program answers into the mailbox that it was given. */
export const mailboxes = { director: 0, sync: 1 } as const;

type TableProgram = 'sweep' | 'export_records' | 'import_records';

/** XDP_PASS, which each of the programs returns. */
const passVerdict = 2;
const packetLength = 64;

export interface ExportedRecords {
  /** A view of the mailbox: valid until its next use. */
  readonly records: Int32Array;
  /** Where to go on; undefined at the end of the tables. */
  readonly next: number | undefined;
}

/** Runs the programs that work on the connection table. They do so with bottom halves off: keep each run short. */
export class Mailbox {
  readonly #box: MappedArray;
  readonly #index: number;
  readonly #packet = new Uint8Array(packetLength);
  readonly #programs: Readonly<Record<TableProgram, BpfProgram>>;
  readonly #records: Int32Array;

  /** `index`: of `mailboxes`. */
  constructor(object: BpfObject, index: number) {
    this.#box = new MappedArray(requiredMap(object, 'mailbox'));
    this.#index = index;
    new DataView(this.#packet.buffer).setUint32(0, index, true);
    this.#programs = {
      sweep: requiredProgram(object, 'sweep'),
      export_records: requiredProgram(object, 'export_records'),
      import_records: requiredProgram(object, 'import_records'),
    };
    const from = this.#box.at(index, MailboxLayout.records) >> 2;
    this.#records = this.#box.signedWords.subarray(from, from + mailboxRecords * recordWords);
  }

  /** Looks at `budget` slots from `cursor` on. Returns where to go on; undefined at the end of the tables. */
  sweep(cursor: number, budget: number, round: number): number | undefined {
    this.#write({ cursor, budget, round });
    this.#run('sweep');
    return this.#next();
  }

  exportRecords(cursor: number, budget: number, recordsMax: number): ExportedRecords {
    this.#write({ cursor, budget, count: Math.min(recordsMax, mailboxRecords) });
    this.#run('export_records');
    const count = Math.min(this.#read('count'), mailboxRecords);
    return { records: this.#records.subarray(0, count * recordWords), next: this.#next() };
  }

  /** At most `mailboxRecords` of them. */
  applyRecords(records: Int32Array): ApplyOutcome {
    this.#records.set(records);
    this.#write({ cursor: 0, count: Math.floor(records.length / recordWords), ...nothingApplied });
    this.#run('import_records');
    return {
      applied: this.#read('applied'),
      refusedLocal: this.#read('refusedLocal'),
      refusedUnknown: this.#read('refusedUnknown'),
      refusedMethod: this.#read('refusedMethod'),
      refusedFull: this.#read('refusedFull'),
    };
  }

  #run(name: TableProgram): void {
    const { verdict } = this.#programs[name].run(this.#packet);
    if (verdict === passVerdict) return;
    throw new Error(`the program ${name} of the xdp engine ended with ${verdict}; it is of another version of baton`);
  }

  #next(): number | undefined {
    const cursor = this.#read('cursor');
    return cursor === mailboxEnd ? undefined : cursor;
  }

  #write(fields: Partial<Record<keyof typeof MailboxLayout, number>>): void {
    for (const [name, value] of Object.entries(fields)) {
      this.#box.writeWord(this.#index, MailboxLayout[name as keyof typeof MailboxLayout], value);
    }
  }

  #read(name: keyof typeof MailboxLayout): number {
    return this.#box.readWord(this.#index, MailboxLayout[name]);
  }
}

function requiredProgram(object: BpfObject, name: string): BpfProgram {
  const program = object.programs.get(name);
  if (program === undefined)
    throw new Error(`the XDP object has no program ${name}; it is of another version of baton`);
  return program;
}
