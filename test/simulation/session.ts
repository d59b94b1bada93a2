// SPDX-License-Identifier: Apache-2.0

/** A client's connection to a virtual service. */
export interface Session {
  readonly number: number;
  /** Index of the virtual router that holds its address; also the lease slot. */
  readonly leaseSlot: number;
  readonly record: Int32Array;
  phase: 'opening' | 'established' | 'closing' | 'over';
  establishedMs: number;
  /** Its peers have to be told of it before its client may see it established. */
  safe: boolean;
  /** An earlier failure has broken it: no director knew of it when the present one began. */
  lost: boolean;
}
