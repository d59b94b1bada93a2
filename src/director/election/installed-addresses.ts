// SPDX-License-Identifier: Apache-2.0
import { errorSentence } from '../../lib/error-sentence.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { VirtualAddress } from '../../model/virtual-router.ts';
import type { ElectionPorts } from '../ports.ts';
import type { RunningRouter } from './running-router.ts';

/** Puts the addresses of virtual routers on interfaces, removes them, and announces them. */
export class InstalledAddresses {
  readonly #ports: Pick<ElectionPorts, 'addressKeeper' | 'announcer' | 'log'>;

  constructor(ports: Pick<ElectionPorts, 'addressKeeper' | 'announcer' | 'log'>) {
    this.#ports = ports;
  }

  /** Installs those of `addresses` that belong on an interface: the engine answers for the others. */
  install(running: RunningRouter, addresses: readonly IpAddress[]): void {
    const { router, installed } = running.assignment;
    for (const each of router.addresses) {
      if (installed.has(each.address) && addresses.includes(each.address)) this.#install(running, each);
    }
  }

  uninstall(running: RunningRouter, addresses: readonly IpAddress[]): void {
    for (const address of addresses) {
      const present = running.present.get(address);
      if (present !== undefined) this.#uninstall(running, present);
    }
  }

  /** Removes all addresses of the virtual router, because a predecessor may have left some. */
  clear(running: RunningRouter): void {
    for (const each of running.assignment.router.addresses) this.#uninstall(running, each);
  }

  /** After a reload: an address may have another prefix or interface, or the engine may answer for it from now on. */
  rearrange(running: RunningRouter): void {
    const { router, installed } = running.assignment;
    for (const each of router.addresses) {
      const present = running.present.get(each.address);
      if (present !== undefined && !(installed.has(each.address) && isSamePlace(present, each))) {
        this.#uninstall(running, present);
      }
      if (installed.has(each.address) && !running.present.has(each.address)) this.#install(running, each);
    }
  }

  announce(running: RunningRouter, address: IpAddress): void {
    const place = running.assignment.router.addresses.find((each) => each.address === address);
    if (place !== undefined) this.#attempt(running, () => this.#ports.announcer.announce(address, place.interface));
  }

  #install(running: RunningRouter, address: VirtualAddress): void {
    running.present.set(address.address, address);
    this.#attempt(running, () =>
      this.#ports.addressKeeper.add(address.address, address.prefixLength, address.interface, address),
    );
  }

  #uninstall(running: RunningRouter, address: VirtualAddress): void {
    running.present.delete(address.address);
    this.#attempt(running, () =>
      this.#ports.addressKeeper.remove(address.address, address.prefixLength, address.interface),
    );
  }

  /** A failing address or announcement must not keep the election from going on (P6). */
  #attempt({ assignment }: RunningRouter, task: () => void): void {
    try {
      task();
    } catch (error) {
      this.#ports.log('error', errorSentence(error), assignment.router.name);
    }
  }
}

function isSamePlace(left: VirtualAddress, right: VirtualAddress): boolean {
  return left.prefixLength === right.prefixLength && left.interface === right.interface;
}
