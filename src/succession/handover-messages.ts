// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import { type ElectionBequest, parseBequest } from '../director/election/handover-record.ts';
import type { LogLevel } from '../lib/log.ts';
import { accept, type Result, reject } from '../lib/result.ts';
import { close } from '../platform/linux/libc.ts';
import { type DescriptorMessage, messageBytesMax } from '../platform/linux/process/descriptor-passing.ts';
import { readSealedText } from '../platform/linux/process/sealed-text.ts';

// What a vrrp process that has outlived its director, a restarted director and its vrrp process say to each other over
// `RUN-DIR/vrrp.sock`. Messages are JSON of at most 16 KiB; the state of the election travels beside them as a sealed file.

/** A descriptor by a name that its owner knows it by. */
export interface NamedDescriptor {
  readonly name: string;
  readonly fd: number;
}

/** What a director lets its vrrp process hold, for the director after it. */
export interface KeptDescriptors {
  /** The director's own words on what these are: a version, a fingerprint of layouts. At most 4096 characters. */
  readonly label: string;
  /** At most 64, each name of at most 64 characters. */
  readonly descriptors: readonly NamedDescriptor[];
}

export type SuccessionRequest =
  /** Gives descriptors and state, and changes nothing. */
  | { readonly ask: 'fetch' }
  /** Ends the process without a farewell, after its last state: whoever asks goes on. */
  | { readonly ask: 'yield'; readonly ticket: number }
  /** Ends the process with a farewell, as a stop does. The end of the connection is the answer. */
  | { readonly ask: 'dismiss' };

export interface FetchedLegacy extends KeptDescriptors {
  readonly ticket: number;
  readonly bequest: ElectionBequest;
}

/** What happened while no director was there to log it. */
export interface StoryLine {
  readonly level: LogLevel;
  readonly sentence: string;
  readonly router?: string;
}

export interface YieldedLegacy {
  readonly bequest: ElectionBequest;
  readonly story: readonly StoryLine[];
}

/** `refused`: the other side says so itself, as when another director has asked since. */
export type SuccessionReason = 'refused' | 'other-format' | 'malformed';

/** Of the answers and the state. Another one is not read: its process is dismissed. */
export const successionFormat = 1;
export const descriptorsKeptMax = 64;
export const stateBytesMax = 1 << 20;
/** The last ones are kept. */
export const storyLinesMax = 50;

const labelLengthMax = 4096;
const nameLengthMax = 64;

export function successionPath(runDirectory: string): string {
  return join(runDirectory, 'vrrp.sock');
}

export function parseRequest(bytes: Uint8Array): Result<SuccessionRequest, 'malformed'> {
  const { ask, ticket } = readRecord(bytes) ?? {};
  if (ask === 'fetch' || ask === 'dismiss') return accept({ ask });
  if (ask === 'yield' && typeof ticket === 'number') return accept({ ask, ticket });
  return reject('malformed');
}

/** Throws a sentence when there is more than may be kept. */
export function emitKept({ label, descriptors }: KeptDescriptors): Uint8Array {
  const names = descriptors.map(({ name }) => name);
  if (!areNames(names)) {
    throw new Error(
      `at most ${descriptorsKeptMax} descriptors with names of at most ${nameLengthMax} characters outlive a director`,
    );
  }
  if (label.length > labelLengthMax) throw new Error(`a label has at most ${labelLengthMax} characters`);
  return emitRecord({ label, names });
}

/** The descriptors of what is malformed are closed. */
export function parseKept({ bytes, descriptors }: DescriptorMessage): Result<KeptDescriptors, 'malformed'> {
  const kept = nameDescriptors(readRecord(bytes) ?? {}, descriptors);
  if (kept === undefined) return discard(descriptors, 'malformed');
  return accept(kept);
}

/** The answer to `fetch`, which the state and then the kept descriptors go with. */
export function emitFetched({ label, descriptors }: KeptDescriptors, ticket: number): Uint8Array {
  return emitRecord({ format: successionFormat, ticket, label, names: descriptors.map(({ name }) => name) });
}

/** Of anything but a whole answer all descriptors are closed. */
export function parseFetched(message: DescriptorMessage): Result<FetchedLegacy, SuccessionReason> {
  const [stateFd, ...kept] = message.descriptors;
  const answer = readAnswer(message);
  if (!answer.ok) return discard(message.descriptors, answer.reason);
  const { ticket } = answer.value;
  const named = nameDescriptors(answer.value, kept);
  const bequest = readState(stateFd);
  if (typeof ticket !== 'number' || named === undefined || bequest === undefined) {
    return discard(message.descriptors, 'malformed');
  }
  if (stateFd !== undefined) close(stateFd);
  return accept({ ticket, bequest, ...named });
}

/** The answer to `yield`, which the state goes with. Of a long story only the end is told. */
export function emitYielded(story: readonly StoryLine[]): Uint8Array {
  for (let from = 0; ; from += 1) {
    const bytes = emitRecord({ format: successionFormat, story: story.slice(from) });
    if (bytes.length <= messageBytesMax || from >= story.length) return bytes;
  }
}

export function parseYielded(message: DescriptorMessage): Result<YieldedLegacy, SuccessionReason> {
  const answer = readAnswer(message);
  const bequest = answer.ok ? readState(message.descriptors[0]) : undefined;
  for (const fd of message.descriptors) close(fd);
  if (!answer.ok) return answer;
  const { story } = answer.value;
  if (bequest === undefined || !Array.isArray(story) || !story.every(isStoryLine)) return reject('malformed');
  return accept({ bequest, story });
}

export function emitRefusal(): Uint8Array {
  return emitRecord({ refused: true });
}

export function emitRecord(record: Readonly<Record<string, unknown>>): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

function readAnswer({ bytes }: DescriptorMessage): Result<Record<string, unknown>, SuccessionReason> {
  const answer = readRecord(bytes);
  if (answer === undefined) return reject('malformed');
  if (answer.refused === true) return reject('refused');
  return answer.format === successionFormat ? accept(answer) : reject('other-format');
}

function readState(fd: number | undefined): ElectionBequest | undefined {
  const text = fd === undefined ? undefined : readSealedText(fd, stateBytesMax);
  const parsed = text === undefined ? undefined : parseBequest(text);
  return parsed?.ok === true ? parsed.value : undefined;
}

function readRecord(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function isStoryLine(value: unknown): value is StoryLine {
  const { level, sentence, router } = (value ?? {}) as Partial<Record<keyof StoryLine, unknown>>;
  const isLevel = level === 'debug' || level === 'info' || level === 'warn' || level === 'error';
  return isLevel && typeof sentence === 'string' && (router === undefined || typeof router === 'string');
}

function nameDescriptors(
  { label, names }: Record<string, unknown>,
  descriptors: readonly number[],
): KeptDescriptors | undefined {
  if (typeof label !== 'string' || label.length > labelLengthMax) return undefined;
  if (!areNames(names) || names.length !== descriptors.length) return undefined;
  return { label, descriptors: names.map((name, index) => ({ name, fd: descriptors[index] ?? -1 })) };
}

function areNames(names: unknown): names is string[] {
  if (!Array.isArray(names) || names.length > descriptorsKeptMax) return false;
  return names.every((name) => typeof name === 'string' && name.length > 0 && name.length <= nameLengthMax);
}

function discard<Reason extends string>(descriptors: readonly number[], reason: Reason) {
  for (const fd of descriptors) close(fd);
  return reject(reason);
}
