// SPDX-License-Identifier: Apache-2.0
import { emitMessage, type Message, messageLength, parseMessage } from './message.ts';

/** The effect of a received piece of the stream on the session. */
export type Reception = 'nothing' | 'progress' | 'corrupted';

/** One end of a session: sends numbered messages and verifies those of the other end. No socket, no clock. */
export interface SessionEnd {
  readonly session: number;
  /** The next message as bytes. */
  next(): Buffer;
  /** Tells the other end that its messages arrive corrupted. */
  alarm(): Buffer;
  accept(chunk: Buffer): Reception;
  /** Messages sent, messages of the other end verified, own messages that the other end has verified. */
  sent: number;
  verified: number;
  acknowledged: number;
}

export interface SessionIdentity {
  readonly session: number;
  readonly direction: 0 | 1;
  readonly seed: number;
}

// Most messages fit one small packet; now and then one fills several segments, so that merged frames are met as well.
const shortPayload = 40;
const longPayload = 4_000;
const longEvery = 16;

export function createSessionEnd({ session, direction, seed }: SessionIdentity): SessionEnd {
  let waiting: Buffer = Buffer.alloc(0);
  const compose = (kind: Message['kind'], sequence: number, payloadLength: number): Buffer => {
    const message: Message = { kind, direction, session, sequence, acknowledged: end.verified, seed, payloadLength };
    const bytes = Buffer.allocUnsafe(messageLength(message));
    emitMessage(message, bytes, 0);
    return bytes;
  };
  /** False when the message is not the one that must come next. */
  const verify = (message: Message): boolean => {
    const isExpected =
      message.kind === 'payload' &&
      message.direction === 1 - direction &&
      message.session === session &&
      message.seed === seed &&
      message.sequence === end.verified;
    if (!isExpected || message.acknowledged < end.acknowledged || message.acknowledged > end.sent) return false;
    end.verified += 1;
    end.acknowledged = message.acknowledged;
    return true;
  };
  const end: SessionEnd = {
    session,
    sent: 0,
    verified: 0,
    acknowledged: 0,
    next: () => {
      const sequence = end.sent;
      end.sent += 1;
      return compose('payload', sequence, (sequence + session) % longEvery === 0 ? longPayload : shortPayload);
    },
    alarm: () => compose('alarm', end.sent, 0),
    accept: (chunk) => {
      const bytes = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
      const before = end.verified;
      let offset = 0;
      while (offset < bytes.length) {
        const parsed = parseMessage(bytes, offset);
        if (!parsed.ok && parsed.reason === 'incomplete') break;
        if (!parsed.ok || !verify(parsed.value)) return 'corrupted';
        offset += messageLength(parsed.value);
      }
      waiting = bytes.subarray(offset);
      return end.verified > before ? 'progress' : 'nothing';
    },
  };
  return end;
}
