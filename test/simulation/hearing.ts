// SPDX-License-Identifier: Apache-2.0

/** An advertisement that took longer counts as lost: VRRP assumes that a segment is faster. */
export const delayBoundMs = 5;
/** After so many lost advertisements in a row the two count as cut off from each other. */
const missesMax = 2;

interface Ear {
  misses: number;
  /** Since when the network has delivered; infinity while it does not. */
  clearSinceMs: number;
  /** When the advertisements were sent that have arrived but not been read. */
  unread: number[];
  /** The receiver has started and has not heard this sender yet. */
  untried: boolean;
}

/**
 * The directors that are able to hear each other, by virtual router and direction. A director hears another one while
 * the network delivers: link up, no two advertisements in a row lost (on the way, at a full socket, or because they
 * could not be sent) or later than `delayBoundMs`. After a single loss it is deaf only until the next one arrives;
 * after a freeze, only until it reads the advertisements in its socket. A loss or a freeze excuses nothing afterwards.
 */
export class Hearing {
  readonly #ears = new Map<string, Ear>();

  /** The receiver has died: the advertisements that it had not read are gone. */
  forget(name: string): void {
    for (const [pair, ear] of this.#ears) if (pair.endsWith(` ${name}`)) ear.unread = [];
  }

  /** The receiver begins to listen. Once it hears a sender, it must have been able to hear it from the start. */
  started(router: number, name: string, others: readonly string[], nowMs: number): void {
    for (const other of others) {
      const ear = this.#ear(router, other, name);
      ear.untried = true;
      if (ear.clearSinceMs < Number.POSITIVE_INFINITY) ear.clearSinceMs = nowMs;
    }
  }

  /** `down`: the loss is not by chance, the link passes nothing. */
  lost(router: number, from: string, to: string, down = false): void {
    const ear = this.#ear(router, from, to);
    ear.misses += 1;
    if (down || ear.misses >= missesMax) ear.clearSinceMs = Number.POSITIVE_INFINITY;
  }

  arrived(router: number, from: string, to: string, sentAtMs: number, nowMs: number): void {
    // It is too late, which was known and counted when it was sent.
    if (nowMs - sentAtMs > delayBoundMs) return;
    const ear = this.#ear(router, from, to);
    ear.misses = 0;
    if (ear.clearSinceMs === Number.POSITIVE_INFINITY) ear.clearSinceMs = nowMs;
    else if (ear.untried) ear.clearSinceMs = Number.NEGATIVE_INFINITY;
    ear.untried = false;
    ear.unread.push(sentAtMs);
  }

  read(router: number, from: string, to: string, sentAtMs: number): void {
    const { unread } = this.#ear(router, from, to);
    const index = unread.indexOf(sentAtMs);
    if (index >= 0) unread.splice(index, 1);
  }

  /** Whether both have been able to hear each other for longer than `durationMs`, and are right now. */
  mutual(router: number, one: string, other: string, durationMs: number, nowMs: number): boolean {
    return (
      this.#clear(this.#ear(router, one, other), durationMs, nowMs) &&
      this.#clear(this.#ear(router, other, one), durationMs, nowMs)
    );
  }

  #clear({ misses, clearSinceMs, unread }: Ear, durationMs: number, nowMs: number): boolean {
    const oldestMs = unread[0];
    if (misses > 0) return false;
    return nowMs - clearSinceMs > durationMs && (oldestMs === undefined || nowMs - oldestMs <= delayBoundMs);
  }

  #ear(router: number, from: string, to: string): Ear {
    const pair = `${router} ${from} ${to}`;
    let ear = this.#ears.get(pair);
    if (ear === undefined) {
      ear = { misses: 0, clearSinceMs: Number.NEGATIVE_INFINITY, unread: [], untried: false };
      this.#ears.set(pair, ear);
    }
    return ear;
  }
}
