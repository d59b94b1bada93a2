// SPDX-License-Identifier: Apache-2.0

/** The course of a run, for people: one line an event, in order. Repeated events are counted. */
export class Transcript {
  readonly #kept: boolean;
  readonly #lines: string[] = [];
  /** The last advertisement of each director and virtual router. */
  readonly #routine = new Map<string, string>();

  /** Without `kept` nothing is recorded, which makes a run cheap. */
  constructor(kept: boolean) {
    this.#kept = kept;
  }

  write(atMs: number, who: string, text: string): void {
    if (this.#kept) this.#lines.push(`${atMs.toFixed(2).padStart(10)}  ${who}  ${text}`);
  }

  /** Writes a line only when it differs from the last one of its kind. */
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
