// SPDX-License-Identifier: Apache-2.0
import type { ExportPage } from '../engine/engine.ts';
import type { DirectorStatus } from './status.ts';

/** The requests of the control socket to a director. */
export interface DirectorView {
  status(): Promise<DirectorStatus>;
  /** A page of the connection table, see `ConnectionPort.exportPage`. */
  connections(cursor: number, recordsMax: number): Promise<ExportPage>;
  /** Resigns every virtual router that is active here; gives their names. */
  handOver(): Promise<readonly string[]>;
}
