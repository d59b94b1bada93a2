// SPDX-License-Identifier: Apache-2.0
import type { FaultReason } from '../../../../vrrp/faults.ts';
import type { IpAddress } from '../../../lib/ip-address.ts';
import type { VirtualRouter } from '../../../model/virtual-router.ts';

/** A report of an adapter about the host. */
export type Observation =
  /** The link of an interface has come up or gone down; one that is deleted counts as down. */
  | { readonly kind: 'link'; readonly interface: string; readonly up: boolean }
  /** An interface has gained, lost or changed an address. */
  | { readonly kind: 'addresses'; readonly interface: string }
  /** Routes have changed, or may have. */
  | { readonly kind: 'routes' }
  /** A tracked object judges otherwise than before, with the passing of time alone. */
  | { readonly kind: 'verdict' }
  /** Some time has passed, or the configuration has changed: check again everything that is not reported. */
  | { readonly kind: 'poll' };

/** A virtual router cannot take part because of a tracked object, or its priority changes by a weight. */
export type Verdict =
  | { readonly kind: 'fault'; readonly reason: FaultReason }
  /** keepalived's `weight`, -253..253: the sum of all is added to the configured priority. */
  | { readonly kind: 'weight'; readonly weight: number };

/** One kind of thing that virtual routers track: interfaces, scripts, processes, files. */
export interface TrackedObject {
  observe(observation: Observation): void;
  /**
   * Empty where there is no fault and no weight, or where the virtual router tracks nothing of this kind. `earlier`: the
   * faults that the objects before this one have found.
   */
  judge(router: VirtualRouter, earlier: readonly FaultReason[]): readonly Verdict[];
}

/** All verdicts on a virtual router together, with the address that it sends from. */
export interface Assessment {
  /** The address that it sends from; undefined where there is none. */
  readonly primaryAddress: IpAddress | undefined;
  /** The sum of the configured priority and all weights. The machine keeps it within bounds. */
  readonly effectivePriority: number;
  readonly faults: readonly FaultReason[];
}
