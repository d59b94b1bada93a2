// SPDX-License-Identifier: Apache-2.0
import { accept, type Result, reject } from '../lib/result.ts';
import { close } from '../platform/linux/libc.ts';
import type { DescriptorMessage } from '../platform/linux/process/descriptor-passing.ts';
import { emitRecord, readRecord } from './json-record.ts';

/** A descriptor and its owner's name for it. */
export interface NamedDescriptor {
  readonly name: string;
  readonly fd: number;
}

/** The descriptors that a vrrp process holds for its director's successor: maps, links and programs that forward. */
export interface SuccessorDescriptors {
  /** Tells the successor what these are: a version, a fingerprint of layouts. At most 4096 characters. */
  readonly label: string;
  /** At most 64, each name of at most 64 characters. */
  readonly descriptors: readonly NamedDescriptor[];
}

export const successorDescriptorsMax = 64;

const labelLengthMax = 4096;
const nameLengthMax = 64;

/** The message from a director to its vrrp process, sent with the descriptors. Throws a sentence beyond the bounds. */
export function emitDescriptors({ label, descriptors }: SuccessorDescriptors): Uint8Array {
  const names = namesOf(descriptors);
  if (!areNames(names)) {
    throw new Error(
      `at most ${successorDescriptorsMax} descriptors with names of at most ${nameLengthMax} characters outlive a director`,
    );
  }
  if (label.length > labelLengthMax) throw new Error(`a label has at most ${labelLengthMax} characters`);
  return emitRecord({ label, names });
}

/** Closes the descriptors of a malformed message. */
export function parseDescriptors({ bytes, descriptors }: DescriptorMessage): Result<SuccessorDescriptors, 'malformed'> {
  const named = nameDescriptors(readRecord(bytes) ?? {}, descriptors);
  if (named !== undefined) return accept(named);
  closeAll(descriptors);
  return reject('malformed');
}

/**
 * Undefined, with nothing closed, when label or names are out of bounds or there are not as many names as descriptors.
 */
export function nameDescriptors(
  { label, names }: Readonly<Record<string, unknown>>,
  descriptors: readonly number[],
): SuccessorDescriptors | undefined {
  if (typeof label !== 'string' || label.length > labelLengthMax) return undefined;
  if (!areNames(names) || names.length !== descriptors.length) return undefined;
  return { label, descriptors: names.map((name, index) => ({ name, fd: descriptors[index] ?? -1 })) };
}

export function namesOf(descriptors: readonly NamedDescriptor[]): string[] {
  return descriptors.map(({ name }) => name);
}

export function closeAll(descriptors: readonly number[]): void {
  for (const fd of descriptors) close(fd);
}

function areNames(names: unknown): names is string[] {
  if (!Array.isArray(names) || names.length > successorDescriptorsMax) return false;
  return names.every((name) => typeof name === 'string' && name.length > 0 && name.length <= nameLengthMax);
}
