// SPDX-License-Identifier: Apache-2.0
import type { Acknowledger } from './acknowledger.ts';
import type { SyncCounters } from './counters.ts';
import type { Deferral } from './deferral.ts';
import type { Heartbeats } from './heartbeats.ts';
import type { Incarnation } from './messages/fields.ts';
import type { ControlName, Handlers } from './messages/table.ts';
import type { Peer } from './peer.ts';
import type { Identity, Publisher } from './publisher.ts';
import type { SnapshotService } from './snapshot-service.ts';

/** `leave` must not make its sender a peer, so session.ts applies it before the sender is registered. */
export type PeerControlName = Exclude<ControlName, 'leave'>;
export type ControlHandlers = Handlers<PeerControlName, [peer: Peer, nowMs: number], void>;

export interface ControlParts {
  readonly identity: Identity;
  readonly counters: SyncCounters;
  readonly publisher: Publisher;
  readonly service: SnapshotService;
  readonly heartbeats: Heartbeats;
  readonly acknowledger: Acknowledger;
  readonly deferral: Deferral;
  /** The peer's stream is lost below `sequence`: it continues there, and a snapshot fills the hole. */
  readonly giveUp: (peer: Peer, sequence: number, nowMs: number) => void;
}

/** The handlers of the messages that take no number of a stream. */
export function controlHandlers(parts: ControlParts): ControlHandlers {
  const { identity, counters, publisher, service, heartbeats, acknowledger, deferral, giveUp } = parts;
  const isMe = (target: Incarnation): boolean => target.sender === identity.senderId && target.epoch === identity.epoch;
  return {
    heartbeat: (message, peer, nowMs) => heartbeats.apply(message, peer, nowMs),
    nack: ({ target, ranges }, _peer, nowMs) => {
      if (!isMe(target)) return;
      counters.traffic.nacksReceived += 1;
      publisher.resend(ranges, nowMs);
    },
    gone: ({ oldest }, peer, nowMs) => {
      if (oldest > peer.stream.expected) giveUp(peer, oldest, nowMs);
    },
    bulkRequest: ({ target, transfer, chunkLimit }, peer, nowMs) => {
      if (isMe(target)) service.request(peer.senderId, transfer, chunkLimit, nowMs);
    },
    bulkCredit: ({ target, transfer, chunkLimit }, peer, nowMs) => {
      if (isMe(target)) service.credit(peer.senderId, transfer, chunkLimit, nowMs);
    },
    acknowledgementRequest: (_message, peer, nowMs) => acknowledger.request(peer, nowMs),
    acknowledgement: ({ target, next }, peer, nowMs) => {
      if (isMe(target) && !deferral.acknowledge(peer, next, nowMs)) counters.rejected.futureSequence += 1;
    },
  };
}
