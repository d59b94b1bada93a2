// SPDX-License-Identifier: Apache-2.0
import type { MessagePort } from 'node:worker_threads';
import type { Engine } from '../../engine/engine.ts';
import type { BpfDescriptor } from '../../engine/xdp/bpf-object.ts';
import type { Family } from '../../lib/ip-address.ts';
import type { LeaseMemory } from '../../platform/linux/process/lease-memory.ts';
import type { SuccessorDescriptors } from '../../succession/successor-descriptors.ts';

/** How the sync thread reaches the connections of the engine. */
export type EngineLine = { /** The memory in which the thread signs. */ readonly leaseFd: number } & (
  | { readonly kind: 'portable'; readonly port: MessagePort; readonly wakeFd: number }
  | { readonly kind: 'xdp'; readonly descriptors: readonly BpfDescriptor[] }
);

/** A running engine, with the parts that other processes and threads need. */
export interface Forwarding {
  readonly engine: Engine;
  readonly leases: LeaseMemory;
  /** Opens a line of its own for each thread. */
  readonly openLine: () => EngineLine;
  /** Throws a sentence when the engine cannot work on an interface for these families. */
  readonly verifyInterface: (name: string, families: Iterable<Family>) => void;
  /**
   * The descriptors that the vrrp process holds for the director's successor. Absent: nothing outlives the director.
   */
  readonly forSuccessor?: SuccessorDescriptors;
  /** Called when the descriptors have changed, with those that replace `forSuccessor`. */
  onForSuccessorChanged: (forSuccessor: SuccessorDescriptors) => void;
  /** Resolves with the reason when the engine has died. */
  readonly ended: Promise<Error>;
}
