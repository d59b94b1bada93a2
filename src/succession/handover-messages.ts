// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import type { ElectionHandoverRecord } from '../director/election/election-view.ts';
import type { LogLevel } from '../lib/log.ts';
import { accept, type Result, reject } from '../lib/result.ts';
import { close } from '../platform/linux/libc.ts';
import { type DescriptorMessage, messageBytesMax } from '../platform/linux/process/descriptor-passing.ts';
import { readSealedText } from '../platform/linux/process/sealed-text.ts';
import { parseHandoverRecord } from './handover-record.ts';
import { emitRecord, readRecord } from './json-record.ts';
import { closeAll, nameDescriptors, namesOf, type SuccessorDescriptors } from './successor-descriptors.ts';
import { wireNames } from './wire-names.ts';

// A predecessor is a vrrp process that has outlived its director. Its successors are the next director and that
// director's vrrp process. These are their messages over `RUN-DIR/vrrp.sock`: JSON of at most 16 KiB. The handover
// record is passed with them as a sealed file.

export type SuccessionRequest =
  /** Gives descriptors and handover record, and changes nothing. */
  | { readonly ask: 'fetch' }
  /** Ends the predecessor without priority 0, after its last handover record: the process that asks continues. */
  | { readonly ask: 'replace'; readonly successorNumber: number }
  /** Ends the predecessor, which sends priority 0 as in a stop. The end of the connection is the answer. */
  | { readonly ask: 'dismiss' };

/** The answer to `fetch`. */
export interface FetchedHandover extends SuccessorDescriptors {
  /** Directors that have fetched are counted from 1; only the last one's vrrp process may replace the predecessor. */
  readonly successorNumber: number;
  readonly record: ElectionHandoverRecord;
}

/** A log line from the time when there was no director to log it. */
export interface GraceLogLine {
  readonly level: LogLevel;
  readonly sentence: string;
  readonly router?: string;
}

/** The answer to `replace`. */
export interface FinalHandover {
  readonly record: ElectionHandoverRecord;
  /** The lines of the grace period, the earliest first. */
  readonly logLines: readonly GraceLogLine[];
}

/** `refused`: the predecessor's own answer, for instance when another director has fetched since. */
export type HandoverReason = 'refused' | 'other-format' | 'malformed';

/** The format of the answers and the handover record. A process that answers in another format is dismissed. */
const handoverFormat = 1;
const recordBytesMax = 1 << 20;
/** Beyond this, the earliest lines are not handed over. */
export const graceLogLinesMax = 50;

export function successionPath(runDirectory: string): string {
  return join(runDirectory, 'vrrp.sock');
}

export function emitRequest(request: SuccessionRequest): Uint8Array {
  if (request.ask !== 'replace') return emitRecord({ ask: request.ask });
  return emitRecord({ ask: wireNames.replace, [wireNames.successorNumber]: request.successorNumber });
}

export function parseRequest(bytes: Uint8Array): Result<SuccessionRequest, 'malformed'> {
  const { ask, [wireNames.successorNumber]: successorNumber } = readRecord(bytes) ?? {};
  if (ask === 'fetch' || ask === 'dismiss') return accept({ ask });
  if (ask === wireNames.replace && typeof successorNumber === 'number') {
    return accept({ ask: 'replace', successorNumber });
  }
  return reject('malformed');
}

/** The answer to `fetch`; the handover record and then the successor's descriptors are passed with it. */
export function emitFetched({ label, descriptors }: SuccessorDescriptors, successorNumber: number): Uint8Array {
  const number = { [wireNames.successorNumber]: successorNumber };
  return emitRecord({ format: handoverFormat, ...number, label, names: namesOf(descriptors) });
}

/** Closes all descriptors unless the answer is complete. */
export function parseFetched(message: DescriptorMessage): Result<FetchedHandover, HandoverReason> {
  const [recordFd, ...descriptors] = message.descriptors;
  const answer = readAnswer(message);
  if (!answer.ok) {
    closeAll(message.descriptors);
    return answer;
  }
  const { [wireNames.successorNumber]: successorNumber } = answer.value;
  const named = nameDescriptors(answer.value, descriptors);
  const record = readSealedRecord(recordFd);
  if (typeof successorNumber !== 'number' || named === undefined || record === undefined) {
    closeAll(message.descriptors);
    return reject('malformed');
  }
  if (recordFd !== undefined) close(recordFd);
  return accept({ successorNumber, record, ...named });
}

/** The answer to `replace`, with which the handover record is passed. Of too many lines, the last ones are sent. */
export function emitFinal(logLines: readonly GraceLogLine[]): Uint8Array {
  for (let from = 0; ; from += 1) {
    const bytes = emitRecord({ format: handoverFormat, [wireNames.logLines]: logLines.slice(from) });
    if (bytes.length <= messageBytesMax || from >= logLines.length) return bytes;
  }
}

/** Closes all descriptors. */
export function parseFinal(message: DescriptorMessage): Result<FinalHandover, HandoverReason> {
  const answer = readAnswer(message);
  const record = answer.ok ? readSealedRecord(message.descriptors[0]) : undefined;
  closeAll(message.descriptors);
  if (!answer.ok) return answer;
  const { [wireNames.logLines]: logLines } = answer.value;
  if (record === undefined || !Array.isArray(logLines) || !logLines.every(isGraceLogLine)) return reject('malformed');
  return accept({ record, logLines });
}

export function emitRefusal(): Uint8Array {
  return emitRecord({ refused: true });
}

function readAnswer({ bytes }: DescriptorMessage): Result<Record<string, unknown>, HandoverReason> {
  const answer = readRecord(bytes);
  if (answer === undefined) return reject('malformed');
  if (answer.refused === true) return reject('refused');
  return answer.format === handoverFormat ? accept(answer) : reject('other-format');
}

function readSealedRecord(fd: number | undefined): ElectionHandoverRecord | undefined {
  const text = fd === undefined ? undefined : readSealedText(fd, recordBytesMax);
  const parsed = text === undefined ? undefined : parseHandoverRecord(text);
  return parsed?.ok === true ? parsed.value : undefined;
}

function isGraceLogLine(value: unknown): value is GraceLogLine {
  const { level, sentence, router } = (value ?? {}) as Partial<Record<keyof GraceLogLine, unknown>>;
  const isLevel = level === 'debug' || level === 'info' || level === 'warn' || level === 'error';
  return isLevel && typeof sentence === 'string' && (router === undefined || typeof router === 'string');
}
