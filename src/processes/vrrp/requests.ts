// SPDX-License-Identifier: Apache-2.0
import type { RouterAssignment } from '../../director/address-plan.ts';
import type { ActiveHeard } from '../../director/controls.ts';
import type { VirtualRouterStatus } from '../../director/status.ts';
import type { LogLevel } from '../../lib/log.ts';
import type { LineReply, LineRequest } from '../../lib/request-line.ts';
import type { VirtualRouterState } from '../../model/virtual-router.ts';

// The messages between the director and its vrrp process over the channel of child_process.fork, with structured
// cloning.

export interface VrrpRequests {
  /**
   * With a successor's number, first replaces the vrrp process that has outlived the former director, and continues
   * where it stopped. Gives sentences about virtual routers whose interface cannot be used.
   */
  configure(assignments: readonly RouterAssignment[], successorNumber?: number): readonly string[];
  /** The descriptors to hold from now on have been sent over the line. */
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
  /** Instead of `ready`: a sentence says what is missing. The process then ends. */
  | { readonly kind: 'unable'; readonly sentence: string }
  /** The virtual routers that are active now: the director resigns them if the process dies. */
  | { readonly kind: 'active'; readonly names: readonly string[] }
  | { readonly kind: 'transition'; readonly from: VirtualRouterState; readonly to: VirtualRouterState }
  | { readonly kind: 'activeHeard'; readonly heard: ActiveHeard | undefined }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly sentence: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
