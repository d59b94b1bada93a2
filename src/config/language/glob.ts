// SPDX-License-Identifier: Apache-2.0
import { posix } from 'node:path';
import { limits } from './limits.ts';

export type ListDirectory = (path: string) => readonly string[] | undefined;

/** True when a pattern of `include` may name other than one literal path. */
export function hasWildcard(pattern: string): boolean {
  return /[*?[{]/.test(pattern);
}

/**
 * The paths that `pattern` names, as glob(3) with GLOB_BRACE: alternatives in braces in the order written, the matches
 * of each alternative sorted. Path segments without a wildcard are taken as they are, so a literal alternative is
 * returned whether or not it exists.
 */
export function expandGlob(pattern: string, listDirectory: ListDirectory): string[] {
  return expandBraces(pattern).flatMap((alternative) => expandSegments(alternative, listDirectory));
}

function expandBraces(pattern: string): string[] {
  const done: string[] = [];
  const open = [pattern];
  while (open.length > 0 && done.length + open.length <= limits.braceAlternativesMax) {
    const text = open.shift() ?? '';
    const braces = innermostBraces(text);
    if (braces === undefined) done.push(text);
    else {
      const { start, end } = braces;
      const choices = text.slice(start + 1, end).split(',');
      open.unshift(...choices.map((choice) => text.slice(0, start) + choice + text.slice(end + 1)));
    }
  }
  return done;
}

function innermostBraces(text: string): { start: number; end: number } | undefined {
  const end = text.indexOf('}');
  const start = end < 0 ? -1 : text.lastIndexOf('{', end);
  return start < 0 ? undefined : { start, end };
}

function expandSegments(pattern: string, listDirectory: ListDirectory): string[] {
  const segments = pattern.split('/');
  let paths: string[] = [''];
  for (const [index, segment] of segments.entries()) {
    const join = (path: string, name: string): string => (index === 0 ? name : `${path}/${name}`);
    if (!/[*?[]/.test(segment)) {
      paths = paths.map((path) => join(path, segment));
      continue;
    }
    const matches = segmentMatcher(segment);
    paths = paths.flatMap((path) => {
      const names = listDirectory(index === 0 ? '.' : posix.normalize(path === '' ? '/' : path)) ?? [];
      return [...names]
        .filter(matches)
        .sort()
        .slice(0, limits.filesMax + 1)
        .map((name) => join(path, name));
    });
    if (paths.length > limits.filesMax) paths.length = limits.filesMax + 1;
  }
  return paths;
}

/** A leading period is matched only by a period, as in glob(3). Linear in the name: no regular expression is built. */
function segmentMatcher(pattern: string): (name: string) => boolean {
  const parts = patternParts(pattern);
  return (name) => (name.startsWith('.') && !pattern.startsWith('.') ? false : matchParts(parts, name));
}

type PatternPart = { readonly star: true } | { readonly star: false; readonly accepts: (character: string) => boolean };

function patternParts(pattern: string): PatternPart[] {
  const parts: PatternPart[] = [];
  for (let i = 0; i < pattern.length; i += 1) {
    const character = pattern[i]!;
    const close = character === '[' ? pattern.indexOf(']', i + 2) : -1;
    if (character === '*') parts.push({ star: true });
    else if (character === '?') parts.push({ star: false, accepts: () => true });
    else if (close > 0) {
      parts.push({ star: false, accepts: characterClass(pattern.slice(i + 1, close)) });
      i = close;
    } else parts.push({ star: false, accepts: (other) => other === character });
  }
  return parts;
}

function characterClass(text: string): (character: string) => boolean {
  const negated = text.startsWith('!') || text.startsWith('^');
  const body = negated ? text.slice(1) : text;
  return (character) => {
    let found = false;
    for (let i = 0; i < body.length; i += 1) {
      if (body[i + 1] === '-' && i + 2 < body.length) {
        found ||= body[i]! <= character && character <= body[i + 2]!;
        i += 2;
      } else found ||= body[i] === character;
    }
    return found !== negated;
  };
}

function matchParts(parts: readonly PatternPart[], name: string): boolean {
  let part = 0;
  let at = 0;
  let lastStar = -1;
  let starAt = 0;
  while (at < name.length) {
    const current = parts[part];
    if (current?.star === true) {
      lastStar = part;
      starAt = at;
      part += 1;
    } else if (current?.star === false && current.accepts(name[at]!)) {
      part += 1;
      at += 1;
    } else if (lastStar >= 0) {
      part = lastStar + 1;
      starAt += 1;
      at = starAt;
    } else return false;
  }
  while (parts[part]?.star === true) part += 1;
  return part === parts.length;
}
