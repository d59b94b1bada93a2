// SPDX-License-Identifier: Apache-2.0
import type { FaultReason } from '../../../../vrrp/faults.ts';
import type { IpAddress } from '../../../lib/ip-address.ts';
import type { VirtualRouter } from '../../../model/virtual-router.ts';
import type { ElectionPorts } from '../../ports.ts';
import { OwnLink } from './own-link.ts';
import { SourceAddress } from './source-address.ts';
import type { Assessment, Observation, TrackedObject } from './tracked-object.ts';

/** All objects that virtual routers track. */
export class Tracking {
  readonly #source: SourceAddress;
  readonly #objects: readonly TrackedObject[];

  /** `further`: objects besides those that every virtual router tracks. */
  constructor(ports: Pick<ElectionPorts, 'transport' | 'log'>, further: readonly TrackedObject[] = []) {
    this.#source = new SourceAddress(ports);
    this.#objects = [new OwnLink(), this.#source, ...further];
  }

  observe(observation: Observation): void {
    for (const each of this.#objects) each.observe(observation);
  }

  /** Addresses that no virtual router may send from. */
  avoid(virtualAddresses: ReadonlySet<IpAddress>): void {
    this.#source.avoid(virtualAddresses);
  }

  assess(router: VirtualRouter): Assessment {
    const faults: FaultReason[] = [];
    let effectivePriority = router.priority;
    for (const each of this.#objects) {
      for (const verdict of each.judge(router, [...faults])) {
        if (verdict.kind === 'fault') faults.push(verdict.reason);
        else effectivePriority += verdict.weight;
      }
    }
    return { primaryAddress: this.#source.addressOf(router), effectivePriority, faults };
  }

  /** Why a virtual router has no address to send from, as a sentence. */
  failureOf(router: VirtualRouter): string | undefined {
    return this.#source.failureOf(router);
  }
}
