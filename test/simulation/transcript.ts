// SPDX-License-Identifier: Apache-2.0

/** What happened, for people: one line an event, in order. What repeats itself is counted. */
export class Transcript {
  readonly #kept: boolean;
  readonly #lines: string[] = [];
  /** The last advertisement of each director and virtual router. */
  readonly #routine = new Map<string, string>();

  /** Without `kept` nothing is written down, which makes a run cheap. */
  constructor(kept: boolean) {
    this.#kept = kept;
  }

  write(atMs: number, who: string, text: string): void {
    if (this.#kept) this.#lines.push(`${atMs.toFixed(2).padStart(10)}  ${who}  ${text}`);
  }

  /** Something that is worth a line when it differs from the last time. */
  routine(atMs: number, who: string, text: string): void {
    if (!this.#kept) return;
    const key = `${who} ${text.slice(0, text.indexOf(' '))}`;
    if (this.#routine.get(key) === text) return;
    this.#routine.set(key, text);
    this.write(atMs, who, text);
  }

  text(): string {
    return `${this.#lines.join('\n')}\n`;
  }
}
