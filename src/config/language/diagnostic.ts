// SPDX-License-Identifier: Apache-2.0

/** A place in a configuration file. Line and column count from 1; a column is a UTF-16 code unit. */
export interface Span {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export type Severity = 'error' | 'warning';

export interface Diagnostic extends Span {
  readonly severity: Severity;
  /** One sentence without a full stop: what is wrong and what to do. */
  readonly text: string;
}

/** A file of nothing but mistakes must not fill the memory or the terminal. */
export const diagnosticsMax = 1000;

/** Collects the problems found while a configuration is read: reading does not stop at the first one. */
export class DiagnosticCollector {
  readonly #found: Diagnostic[] = [];
  #errors = 0;
  #dropped = 0;
  #droppedErrors = 0;

  error(span: Span, text: string): void {
    this.#errors += 1;
    if (this.isFull) this.#droppedErrors += 1;
    this.#add(span, 'error', text);
  }

  warning(span: Span, text: string): void {
    this.#add(span, 'warning', text);
  }

  /** Nothing more will be shown: the caller need not work out a helpful text. */
  get isFull(): boolean {
    return this.#found.length >= diagnosticsMax;
  }

  get hasErrors(): boolean {
    return this.#errors > 0;
  }

  /**
   * Everything found: files in the order of `files` (the order in which they were read), then by line and column.
   * Two problems at one place keep the order in which they were found.
   */
  sorted(files: readonly string[]): Diagnostic[] {
    const rank = new Map(files.map((file, index) => [file, index]));
    const rankOf = (file: string): number => rank.get(file) ?? files.length;
    const list = [...this.#found].sort(
      (a, b) => rankOf(a.file) - rankOf(b.file) || a.line - b.line || a.column - b.column,
    );
    const last = list.at(-1);
    if (this.#dropped > 0 && last !== undefined) {
      const { file, line, column } = last;
      const severity = this.#droppedErrors > 0 ? 'error' : 'warning';
      list.push({
        file,
        line,
        column,
        severity,
        text: `${this.#dropped} more ${this.#dropped === 1 ? 'is' : 'are'} not shown`,
      });
    }
    return list;
  }

  #add(span: Span, severity: Severity, text: string): void {
    if (this.isFull) {
      this.#dropped += 1;
      return;
    }
    this.#found.push({ file: span.file, line: span.line, column: span.column, severity, text });
  }
}

/** `FILE:LINE:COLUMN: error|warning: text` */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const { file, line, column, severity, text } = diagnostic;
  return `${file}:${line}:${column}: ${severity}: ${text}`;
}

/** `FILE:LINE`, to point from one diagnostic at another place. */
export function formatPlace(span: Span): string {
  return `${span.file}:${span.line}`;
}
