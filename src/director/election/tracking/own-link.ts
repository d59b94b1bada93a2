// SPDX-License-Identifier: Apache-2.0
import type { VirtualRouter } from '../../../model/virtual-router.ts';
import type { Observation, TrackedObject, Verdict } from './tracked-object.ts';

const fault: readonly Verdict[] = [{ kind: 'fault', reason: { kind: 'link' } }];

/** Every virtual router tracks the link of its own interface, as with keepalived. */
export class OwnLink implements TrackedObject {
  /** Interfaces that are down, also those without a virtual router yet. One that was never reported counts as up. */
  readonly #down = new Set<string>();

  observe(observation: Observation): void {
    if (observation.kind !== 'link') return;
    if (observation.up) this.#down.delete(observation.interface);
    else this.#down.add(observation.interface);
  }

  judge(router: VirtualRouter): readonly Verdict[] {
    return this.#down.has(router.interface) ? fault : [];
  }
}
