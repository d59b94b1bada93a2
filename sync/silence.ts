// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import type { RejectionReason } from './counters.ts';

/** The likely reason why no peer is heard. */
export type SilenceCause =
  /** Datagrams of another sync id arrive: it is probably mistyped on one side. */
  | { readonly kind: 'foreignSyncId'; readonly syncId: number; readonly source: IpAddress; readonly count: number }
  /** Datagrams arrive and are rejected for this reason, more often than for any other. */
  | { readonly kind: 'rejected'; readonly reason: RejectionReason; readonly source: IpAddress; readonly count: number }
  | { readonly kind: 'nothingHeard' };

interface Rejected {
  count: number;
  source: IpAddress;
  syncId: number;
}

/** Says nothing about why another director is not heard: networks return this director's own datagrams. */
const ownReason: RejectionReason = 'ownDatagram';

/** Remembers which datagrams have been rejected since a peer was last heard: one record for each reason. */
export class Silence {
  readonly #rejected = new Map<RejectionReason, Rejected>();

  /** A peer is heard. */
  end(): void {
    if (this.#rejected.size > 0) this.#rejected.clear();
  }

  /** `syncId` is read from where a datagram of this protocol has it. */
  reject(reason: RejectionReason, source: IpAddress, syncId: number): void {
    if (reason === ownReason) return;
    const known = this.#rejected.get(reason);
    if (known === undefined) this.#rejected.set(reason, { count: 1, source, syncId });
    else {
      known.count += 1;
      known.source = source;
      known.syncId = syncId;
    }
  }

  cause(): SilenceCause {
    const foreign = this.#rejected.get('foreignSyncId');
    if (foreign !== undefined) return { kind: 'foreignSyncId', ...foreign };
    const [most] = [...this.#rejected].sort(([, one], [, other]) => other.count - one.count);
    if (most === undefined) return { kind: 'nothingHeard' };
    const [reason, { source, count }] = most;
    return { kind: 'rejected', reason, source, count };
  }
}
