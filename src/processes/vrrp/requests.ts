// SPDX-License-Identifier: Apache-2.0
import type { RouterAssignment } from '../../director/address-plan.ts';
import type { VirtualRouterStatus } from '../../director/status.ts';
import type { LogLevel } from '../../lib/log.ts';

// What the director and its vrrp process say to each other over the channel of child_process.fork, with structured
// cloning. A request carries an id, its answer the same.

export type VrrpRequest =
  | {
      readonly kind: 'configure';
      readonly assignments: readonly RouterAssignment[];
      /** First replaces the vrrp process that has outlived another director, and goes on where it stopped. */
      readonly predecessor?: { readonly successorNumber: number };
    }
  /** The descriptors to hold from here on have been sent over the line. */
  | { readonly kind: 'holdDescriptors' }
  | { readonly kind: 'handOver' }
  | { readonly kind: 'status' }
  | { readonly kind: 'stop' };

/** What each request is answered with. */
export interface VrrpAnswers {
  /** Sentences about virtual routers whose interface cannot be used. */
  configure: readonly string[];
  holdDescriptors: undefined;
  handOver: readonly string[];
  status: readonly VirtualRouterStatus[];
  stop: undefined;
}

export type ToVrrpProcess =
  | { readonly id: number; readonly request: VrrpRequest }
  | { readonly id: undefined; readonly gateOpen: boolean };

export type FromVrrpProcess =
  | { readonly kind: 'ready' }
  /** Instead of `ready`: what is missing. The process then ends. */
  | { readonly kind: 'unable'; readonly sentence: string }
  | { readonly kind: 'answer'; readonly id: number; readonly value: VrrpAnswers[keyof VrrpAnswers] }
  | { readonly kind: 'refused'; readonly id: number; readonly sentence: string }
  /** The virtual routers that are active from here on: what the director resigns should the process die. */
  | { readonly kind: 'active'; readonly names: readonly string[] }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly sentence: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
