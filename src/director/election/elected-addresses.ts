// SPDX-License-Identifier: Apache-2.0

import { errorSentence } from '../../lib/error-sentence.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { ElectionPorts } from '../ports.ts';
import type { ElectedAddress, RunningRouter } from './running-router.ts';
import { samePlace } from './segments.ts';

/** Puts the addresses of virtual routers onto interfaces, takes them off, and announces them. */
export class ElectedAddresses {
  readonly #ports: Pick<ElectionPorts, 'addressKeeper' | 'announcer' | 'log'>;

  constructor(ports: Pick<ElectionPorts, 'addressKeeper' | 'announcer' | 'log'>) {
    this.#ports = ports;
  }

  install(router: RunningRouter, address: ElectedAddress): void {
    router.installed.set(address.address, address);
    this.#attempt(router, () =>
      this.#ports.addressKeeper.add(address.address, address.prefixLength, address.interface, address),
    );
  }

  uninstall(router: RunningRouter, address: ElectedAddress): void {
    router.installed.delete(address.address);
    this.#attempt(router, () =>
      this.#ports.addressKeeper.remove(address.address, address.prefixLength, address.interface),
    );
  }

  /** After a reload: what stayed may have another prefix or place. */
  rearrange(router: RunningRouter): void {
    for (const address of router.configured.addresses) {
      const installed = router.installed.get(address.address);
      if (installed !== undefined && !samePlace(installed, address)) this.uninstall(router, installed);
      if (address.install && !router.installed.has(address.address)) this.install(router, address);
    }
  }

  announce(router: RunningRouter, address: IpAddress): void {
    const place = router.configured.addresses.find((each) => each.address === address);
    if (place !== undefined) this.#attempt(router, () => this.#ports.announcer.announce(address, place.interface));
  }

  /** A failing address or announcement must not keep the election from going on (P6). */
  #attempt(router: RunningRouter, task: () => void): void {
    try {
      task();
    } catch (error) {
      this.#ports.log('error', errorSentence(error), router.configured.name);
    }
  }
}
