// SPDX-License-Identifier: Apache-2.0
import { type RejectionCounters, zeroRejections } from '../../../vrrp/ladder.ts';
import { errorSentence } from '../../lib/error-sentence.ts';
import type { Family, IpAddress } from '../../lib/ip-address.ts';
import type { VirtualRouter } from '../../model/virtual-router.ts';
import type { VrrpTransport } from '../ports.ts';
import type { ElectionView } from './election-view.ts';
import type { ElectedAddress } from './running-router.ts';

interface Segment {
  readonly interface: string;
  readonly family: Family;
  up: boolean;
  /** What is sent from, by path. Empty until the transport could be opened. */
  readonly sources: Map<string, IpAddress>;
  /** Why a path could not be opened, said once. */
  readonly failures: Map<string, string>;
  readonly rejections: RejectionCounters;
}

/** Opening has failed before, and for the same reason. */
export interface OpeningFailure {
  readonly sentence: string;
  readonly repeated: boolean;
}

/** The source of advertisements that cannot be sent yet. */
export const unknownAddress = { ipv4: '0.0.0.0' as IpAddress, ipv6: '::' as IpAddress } as const;

/** The interfaces that virtual routers are on: whether their links are up, and which addresses they are sent from. */
export class Segments {
  readonly #transport: VrrpTransport;
  readonly #segments = new Map<string, Segment>();
  /** Also of interfaces that no virtual router is on yet. */
  readonly #linksDown = new Set<string>();

  constructor(transport: VrrpTransport) {
    this.#transport = transport;
  }

  /** A link that came up may have come back as another interface, with other addresses: all is opened again. */
  linkChanged(interfaceName: string, up: boolean): void {
    if (up) this.#linksDown.delete(interfaceName);
    else this.#linksDown.add(interfaceName);
    for (const segment of this.#segments.values()) {
      if (segment.interface !== interfaceName) continue;
      segment.up = up;
      if (up) segment.sources.clear();
    }
  }

  /** The address that a virtual router sends from, or why it cannot. */
  open(router: VirtualRouter): IpAddress | OpeningFailure {
    const { interface: name, family } = router;
    const segment = this.#segmentOf(name, family);
    const path = pathOf(router);
    const known = segment.sources.get(path);
    if (known !== undefined) return known;
    try {
      const source = this.#transport.open(name, family, router);
      segment.sources.set(path, source);
      segment.failures.delete(path);
      return source;
    } catch (error) {
      const sentence = errorSentence(error);
      const repeated = segment.failures.get(path) === sentence;
      segment.failures.set(path, sentence);
      return { sentence, repeated };
    }
  }

  isUsable(router: VirtualRouter): boolean {
    const segment = this.#segments.get(keyOf(router.interface, router.family));
    return segment?.up === true && segment.sources.has(pathOf(router));
  }

  /** Counters of what was discarded before a virtual router was known to be meant. */
  rejectionsOf(interfaceName: string, family: Family): RejectionCounters | undefined {
    return this.#segments.get(keyOf(interfaceName, family))?.rejections;
  }

  view(): ElectionView['unattributed'] {
    return [...this.#segments.values()].map(({ interface: name, family, rejections }) => ({
      interface: name,
      family,
      rejections: { ...rejections },
    }));
  }

  #segmentOf(name: string, family: Family): Segment {
    const key = keyOf(name, family);
    const known = this.#segments.get(key);
    if (known !== undefined) return known;
    const segment: Segment = {
      interface: name,
      family,
      up: !this.#linksDown.has(name),
      sources: new Map(),
      failures: new Map(),
      rejections: zeroRejections(),
    };
    this.#segments.set(key, segment);
    return segment;
  }
}

/** An address that a reload leaves where it is. */
export function samePlace(left: ElectedAddress, right: ElectedAddress): boolean {
  return (
    left.install === right.install && left.prefixLength === right.prefixLength && left.interface === right.interface
  );
}

/** Virtual routers with the same path share a source and, where they speak by unicast, the peers. */
function pathOf({ sourceAddress, unicastPeers }: VirtualRouter): string {
  const peers = unicastPeers?.map(({ address, minTtl, maxTtl }) => `${address} ${minTtl} ${maxTtl}`);
  return [sourceAddress ?? '', ...(peers ?? [])].join(',');
}

function keyOf(interfaceName: string, family: Family): string {
  return `${interfaceName} ${family}`;
}
