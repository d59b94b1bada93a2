// SPDX-License-Identifier: Apache-2.0
import type { RouterAssignment } from '../../director/address-plan.ts';
import type { VirtualRouterStatus } from '../../director/status.ts';
import type { LogLevel } from '../../lib/log.ts';
import type { LineReply, LineRequest } from '../../lib/request-line.ts';

// What the director and its vrrp process say to each other over the channel of child_process.fork, with structured
// cloning.

export interface VrrpRequests {
  /**
   * With the number of a successor, first replaces the vrrp process that has outlived another director, and goes on where
   * it stopped. Gives sentences about virtual routers whose interface cannot be used.
   */
  configure(assignments: readonly RouterAssignment[], successorNumber?: number): readonly string[];
  /** The descriptors to hold from here on have been sent over the line. */
  holdDescriptors(): undefined;
  /** Gives the names of the virtual routers. */
  handOver(): readonly string[];
  status(): readonly VirtualRouterStatus[];
  stop(): undefined;
}

export type ToVrrpProcess = LineRequest<VrrpRequests> | { readonly gateOpen: boolean };

export type FromVrrpProcess =
  | LineReply
  | { readonly kind: 'ready' }
  /** Instead of `ready`: what is missing. The process then ends. */
  | { readonly kind: 'unable'; readonly sentence: string }
  /** The virtual routers that are active from here on: what the director resigns should the process die. */
  | { readonly kind: 'active'; readonly names: readonly string[] }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly sentence: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
