// SPDX-License-Identifier: Apache-2.0
import { climbLadder, type RejectionCounters, type RejectionReason, zeroRejections } from '../../../vrrp/ladder.ts';
import type { Advertisement } from '../../../vrrp/packet.ts';
import { type Family, familyOf } from '../../lib/ip-address.ts';
import { routerKey, type VirtualRouter } from '../../model/virtual-router.ts';
import type { BoundedLog } from '../bounded-log.ts';
import type { ReceivedAdvertisement } from '../ports.ts';
import type { ElectionView } from './election-view.ts';
import { addressListSentence, rejectionSentence } from './log-sentences.ts';
import type { RunningRouter } from './running-router.ts';

/** Finds the virtual router that a received advertisement is for, and counts the advertisements that are discarded. */
export class Reception {
  readonly #log: BoundedLog<string | undefined>;
  /** By `routerKey`. */
  readonly #find: (key: string) => RunningRouter | undefined;
  /**
   * Interfaces that have or had virtual routers, and the advertisements discarded before their router was known.
   */
  readonly #segments = new Map<string, ElectionView['unattributed'][number] & { rejections: RejectionCounters }>();

  constructor(log: BoundedLog<string | undefined>, find: (key: string) => RunningRouter | undefined) {
    this.#log = log;
    this.#find = find;
  }

  expectOn({ interface: name, family }: Pick<VirtualRouter, 'interface' | 'family'>): void {
    const key = segmentKey(name, family);
    if (this.#segments.has(key)) return;
    this.#segments.set(key, { interface: name, family, rejections: zeroRejections() });
  }

  receive(
    received: ReceivedAdvertisement,
  ): { readonly running: RunningRouter; readonly advertisement: Advertisement } | undefined {
    let meant: RunningRouter | undefined;
    const result = climbLadder(received, (vrid, family) => {
      meant = this.#find(routerKey({ interface: received.interface, family, vrid }));
      return meant?.state;
    });
    if (!result.ok) {
      this.#countRejection(result.reason, received, meant);
      return undefined;
    }
    // The ladder admits only advertisements whose virtual router was found.
    const running = meant!;
    const { advertisement, addressListDiffers } = result.value;
    running.advertisementsReceived += 1;
    if (addressListDiffers) running.addressListMismatches += 1;
    if (addressListDiffers && !running.addressListDiffers) {
      const sentence = addressListSentence(received.source);
      const { name } = running.assignment.router;
      this.#log.write(`${name} addressListDiffers`, 'warn', sentence, name);
    }
    running.addressListDiffers = addressListDiffers;
    return { running, advertisement };
  }

  view(): ElectionView['unattributed'] {
    return [...this.#segments.values()].map((segment) => ({ ...segment, rejections: { ...segment.rejections } }));
  }

  #countRejection(reason: RejectionReason, received: ReceivedAdvertisement, meant: RunningRouter | undefined): void {
    const segment = this.#segments.get(segmentKey(received.interface, familyOf(received.source)));
    const counters = meant?.rejections ?? segment?.rejections;
    if (counters === undefined) return;
    counters[reason] += 1;
    // This router's own advertisements are looped back by some networks, which is not worth a log line.
    if (counters[reason] > 1 || reason === 'looped-back') return;
    const sentence = rejectionSentence(reason, received.source, received.interface);
    const name = meant?.assignment.router.name;
    this.#log.write(`${name ?? ''} ${reason}`, 'warn', sentence, name);
  }
}

function segmentKey(interfaceName: string, family: Family): string {
  return `${interfaceName} ${family}`;
}
