// SPDX-License-Identifier: Apache-2.0
import { posix } from 'node:path';
import type { DiagnosticCollector, Span } from './diagnostic.ts';
import type { ConfigurationFiles } from './files.ts';
import { parseGenerator } from './generators.ts';
import { expandGlob, hasWildcard } from './glob.ts';
import { limits } from './limits.ts';
import {
  continued,
  type Parameter,
  type PredefinedParameters,
  parseDefinition,
  replaceParameter,
} from './parameters.ts';
import { isBlank, type SourceLine, sliceLine, sourceLine, spanAt, spliceLine, stripComment } from './source-line.ts';

export interface PreprocessorOptions {
  readonly files: ConfigurationFiles;
  readonly configId: string;
  readonly environment: (name: string) => string | undefined;
  /** Returns a number in [0, 1), a different one each time. */
  readonly random: () => number;
  readonly diagnostics: DiagnosticCollector;
}

/** The lines that count, in order, and the files they came from in the order of reading. */
export interface Preprocessed {
  readonly lines: readonly SourceLine[];
  readonly files: readonly string[];
  /** The reason why the first file cannot be read: one sentence. */
  readonly unreadable: string | undefined;
}

/**
 * Comments, conditional lines (`@id`, `@^id`), parameters (`$NAME=VALUE`), generators (`~SEQ`, `~LST`) and `include`,
 * in keepalived's order: a condition first, then a definition, a generator, substitution, and `include`.
 */
export function preprocess(path: string, options: PreprocessorOptions): Preprocessed {
  const preprocessor = new Preprocessor(options);
  const reason = preprocessor.readFile(path, 0);
  return {
    lines: preprocessor.lines,
    files: [...preprocessor.files],
    unreadable: reason === undefined ? undefined : `cannot read ${path}: it ${reason}`,
  };
}

class Preprocessor {
  readonly lines: SourceLine[] = [];
  readonly files = new Set<string>();
  readonly #options: PreprocessorOptions;
  readonly #parameters = new Map<string, Parameter>();
  #pending: { name: string; lines: string[] } | undefined;
  #filesRead = 0;
  #bytesRead = 0;
  #linesSeen = 0;
  #charactersSeen = 0;
  #full = false;

  constructor(options: PreprocessorOptions) {
    this.#options = options;
  }

  /** Returns the reason why the file cannot be read; it completes the sentence "cannot read FILE: it …". */
  readFile(path: string, depth: number): string | undefined {
    const read = this.#options.files.readFile(path, limits.fileBytesMax);
    if (!read.ok) return read.reason;
    if (read.value.length > limits.fileBytesMax) return `is larger than ${limits.fileBytesMax} bytes`;
    this.#filesRead += 1;
    this.#bytesRead += read.value.length;
    if (this.#filesRead > limits.filesMax) return `is one of more than ${limits.filesMax} files`;
    if (this.#bytesRead > limits.totalBytesMax) {
      return `brings the configuration to more than ${limits.totalBytesMax} bytes`;
    }
    this.files.add(path);
    const texts = new TextDecoder().decode(read.value).split('\n');
    for (const [index, text] of texts.entries()) {
      if (this.#full) break;
      this.#readLine(path, index + 1, text.replace(/\r+$/, ''), depth);
    }
    return undefined;
  }

  #readLine(file: string, line: number, text: string, depth: number): void {
    const { diagnostics } = this.#options;
    if (text.length > limits.lineLengthMax) {
      diagnostics.error({ file, line, column: 1 }, `the line is longer than ${limits.lineLengthMax} characters`);
      return;
    }
    const nul = text.indexOf('\0');
    if (nul >= 0) {
      diagnostics.error({ file, line, column: nul + 1 }, 'the line holds a NUL byte');
      return;
    }
    const source = stripComment(sourceLine(file, line, text));
    if (this.#pending !== undefined) this.#continueDefinition(this.#pending, source.text);
    else if (source.text !== '') this.#process(source, depth, 0);
  }

  /** A blank line ends a value that goes on over several lines. */
  #continueDefinition(pending: { name: string; lines: string[] }, text: string): void {
    const { value, goesOn } = continued(text);
    if (value !== '' && pending.lines.length < limits.linesMax) pending.lines.push(value);
    if (goesOn) return;
    this.#define(pending.name, pending.lines);
    this.#pending = undefined;
  }

  #define(name: string, lines: readonly string[]): void {
    if (this.#parameters.size < limits.parametersMax || this.#parameters.has(name)) {
      this.#parameters.set(name, { lines });
    }
  }

  #process(line: SourceLine, depth: number, substitutions: number): void {
    const { diagnostics } = this.#options;
    this.#linesSeen += 1;
    this.#charactersSeen += line.text.length;
    if (this.#linesSeen > limits.linesMax || this.#charactersSeen > limits.charactersMax) {
      if (!this.#full)
        diagnostics.error(spanAt(line, 0), 'the configuration is too large once its parameters are replaced');
      this.#full = true;
      return;
    }
    const source = this.#withoutCondition(line);
    if (source === undefined || source.text === '') return;
    const definition = parseDefinition(source.text);
    if (definition !== undefined) {
      const { name, value, goesOn } = definition;
      const lines = value === '' ? [] : [value];
      // A definition out of a parameter's value ends with its line: the parameter's next line is processed by itself.
      if (goesOn && substitutions === 0) this.#pending = { name, lines };
      else this.#define(name, lines);
      return;
    }
    if (this.#generate(source, depth, substitutions)) return;
    if (!this.#substitute(source, depth, substitutions)) this.#includeOrKeep(source, depth);
  }

  /** Processes a line that begins with `~SEQ` or `~LST`; returns false for any other line. */
  #generate(source: SourceLine, depth: number, substitutions: number): boolean {
    const generator = parseGenerator(source.text, (text) => this.#substituteWithin(sliceLine(source, 0, 0), text));
    if (generator === undefined) return false;
    if (!generator.ok) {
      this.#options.diagnostics.error(spanAt(source, 0), generator.reason);
      return true;
    }
    const { names, rows, end } = generator.value;
    if (end === source.text.length) return true;
    const rest = sliceLine(source, end);
    const former = names.map((name) => this.#parameters.get(name));
    for (const row of rows) {
      if (this.#full) break;
      for (const [index, name] of names.entries()) this.#parameters.set(name, { lines: [row[index] ?? ''] });
      this.#process(rest, depth, substitutions);
    }
    for (const [index, name] of names.entries()) {
      const parameter = former[index];
      if (parameter === undefined) this.#parameters.delete(name);
      else this.#parameters.set(name, parameter);
    }
    return true;
  }

  /** A text with all its parameters replaced, as far as the limits allow. */
  #substituteWithin(place: SourceLine, text: string): string {
    let line = spliceLine(place, 0, 0, text);
    for (let i = 0; i < limits.substitutionsMax && line.text.length <= limits.lineLengthMax; i += 1) {
      const replacement = replaceParameter(line, this.#parameters, this.#predefined(line));
      if (replacement.kind !== 'line') break;
      line = replacement.line;
    }
    return line.text;
  }

  #predefined(source: SourceLine): PredefinedParameters {
    const { configId, environment, random } = this.#options;
    return { directory: posix.dirname(source.file), configId, environment, random };
  }

  /** `@id rest` counts only for that id, `@^id rest` only for every other. */
  #withoutCondition(line: SourceLine): SourceLine | undefined {
    if (!line.text.startsWith('@')) return line;
    const negated = line.text[1] === '^';
    const start = negated ? 2 : 1;
    const length = line.text.slice(start).search(/[ \t]/);
    if (length < 0) return undefined;
    const matches = line.text.slice(start, start + length) === this.#options.configId;
    if (matches === negated) return undefined;
    let rest = start + length;
    while (isBlank(line.text[rest] ?? '')) rest += 1;
    return sliceLine(line, rest);
  }

  /** Processes a line that refers to a parameter; returns false for any other line. */
  #substitute(source: SourceLine, depth: number, substitutions: number): boolean {
    if (!source.text.includes('$')) return false;
    const { diagnostics } = this.#options;
    const replacement = replaceParameter(source, this.#parameters, this.#predefined(source));
    if (replacement.kind === 'none') return false;
    if (substitutions >= limits.substitutionsMax || replacement.line.text.length > limits.lineLengthMax) {
      diagnostics.error(
        spanAt(source, source.text.indexOf('$')),
        'the parameters of this line never end: one stands for itself',
      );
      return true;
    }
    this.#process(trimmed(replacement.line), depth, substitutions + 1);
    if (replacement.kind === 'lines') {
      for (const following of replacement.following) {
        if (this.#full) break;
        this.#process(trimmed(following), depth, substitutions + 1);
      }
    }
    return true;
  }

  #includeOrKeep(source: SourceLine, depth: number): void {
    const include = /^include([rmwba]?)[ \t]+/.exec(source.text);
    if (include === null) {
      this.lines.push(source);
      return;
    }
    const pattern = source.text.slice(include[0].length).replace(/^"(.*)"$/, '$1');
    const mustMatch = include[1] === 'w' || include[1] === 'a';
    this.#include(pattern, source, spanAt(source, include[0].length), mustMatch, depth);
  }

  #include(pattern: string, source: SourceLine, span: Span, mustMatch: boolean, depth: number): void {
    const { diagnostics, files } = this.#options;
    if (depth >= limits.includeDepthMax) {
      diagnostics.error(span, `files include each other more than ${limits.includeDepthMax} deep`);
      return;
    }
    const directory = posix.dirname(source.file);
    const full = posix.isAbsolute(pattern) || directory === '.' ? pattern : `${directory}/${pattern}`;
    const paths = hasWildcard(pattern) ? expandGlob(full, files.listDirectory) : [full];
    // An empty conf.d is usual: keepalived reports it only for includew and includea.
    if (paths.length === 0 && mustMatch) diagnostics.error(span, `no file matches ${pattern}`);
    for (const path of paths) {
      if (this.#full) break;
      const reason = this.readFile(path, depth + 1);
      if (reason !== undefined) diagnostics.error(span, `cannot include ${path}: it ${reason}`);
      if (this.#filesRead > limits.filesMax || this.#bytesRead > limits.totalBytesMax) this.#full = true;
    }
  }
}

function trimmed(line: SourceLine): SourceLine {
  let start = 0;
  let end = line.text.length;
  while (start < end && isBlank(line.text[start] ?? '')) start += 1;
  while (end > start && isBlank(line.text[end - 1] ?? '')) end -= 1;
  return sliceLine(line, start, end);
}
