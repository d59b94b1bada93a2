// SPDX-License-Identifier: Apache-2.0
import { errorSentence } from '../../../lib/error-sentence.ts';
import type { IpAddress } from '../../../lib/ip-address.ts';
import type { VirtualRouter } from '../../../model/virtual-router.ts';
import type { ElectionPorts } from '../../ports.ts';
import type { Observation, TrackedObject, Verdict } from './tracked-object.ts';

/** The outcome of opening a path: the address to send from, or a sentence why there is none. */
type Source = { readonly interface: string } & ({ readonly address: IpAddress } | { readonly failure: string });

const fault: readonly Verdict[] = [{ kind: 'fault', reason: { kind: 'address' } }];

/**
 * Every virtual router needs an address to send from. It may appear late: the interface may not exist yet, or duplicate
 * address detection may not have finished for an IPv6 address. Looking for it opens the transport.
 */
export class SourceAddress implements TrackedObject {
  readonly #ports: Pick<ElectionPorts, 'transport' | 'log'>;
  readonly #sources = new Map<string, Source>();
  #virtualAddresses: ReadonlySet<IpAddress> = new Set();
  /** The last failure of each path, logged once. */
  readonly #said = new Map<string, string>();

  constructor(ports: Pick<ElectionPorts, 'transport' | 'log'>) {
    this.#ports = ports;
  }

  /** Those of all virtual routers of this director. */
  avoid(virtualAddresses: ReadonlySet<IpAddress>): void {
    this.#virtualAddresses = virtualAddresses;
    this.#sources.clear();
  }

  /**
   * A link that comes up may be another interface of the same name, with other addresses: its paths are opened again.
   */
  observe(observation: Observation): void {
    for (const [path, source] of this.#sources) if (mayDiffer(source, observation)) this.#sources.delete(path);
  }

  judge(router: VirtualRouter): readonly Verdict[] {
    return 'failure' in this.#sourceOf(router) ? fault : [];
  }

  addressOf(router: VirtualRouter): IpAddress | undefined {
    const source = this.#sourceOf(router);
    return 'address' in source ? source.address : undefined;
  }

  /** A sentence: what happened, what to do. */
  failureOf(router: VirtualRouter): string | undefined {
    const source = this.#sourceOf(router);
    return 'failure' in source ? source.failure : undefined;
  }

  #sourceOf(router: VirtualRouter): Source {
    const path = pathOf(router);
    const known = this.#sources.get(path);
    if (known !== undefined) return known;
    const source = this.#open(router, path);
    this.#sources.set(path, source);
    return source;
  }

  #open(router: VirtualRouter, path: string): Source {
    const { transport, log } = this.#ports;
    const { interface: name, family } = router;
    try {
      const address = transport.open(name, family, { ...router, virtualAddresses: this.#virtualAddresses });
      this.#said.delete(path);
      return { interface: name, address };
    } catch (error) {
      const failure = errorSentence(error);
      const repeated = this.#said.get(path) === failure;
      this.#said.set(path, failure);
      if (!repeated) log('error', `cannot take part in the election: ${failure}`, router.name);
      return { interface: name, failure };
    }
  }
}

function mayDiffer(source: Source, observation: Observation): boolean {
  if (observation.kind === 'poll') return 'failure' in source;
  if (observation.kind !== 'link' && observation.kind !== 'addresses') return false;
  if (source.interface !== observation.interface) return false;
  return observation.kind === 'addresses' || observation.up;
}

/** Virtual routers with the same path share a source address and, with unicast, the peers. */
function pathOf({ interface: name, family, sourceAddress, unicastPeers }: VirtualRouter): string {
  const peers = unicastPeers?.map(({ address, minTtl, maxTtl }) => `${address} ${minTtl} ${maxTtl}`);
  return [name, family, sourceAddress ?? '', ...(peers ?? [])].join(',');
}
