// SPDX-License-Identifier: Apache-2.0
import { fstatSync, readSync, writeSync } from 'node:fs';
import { checked, close, fcntl, memfd_create } from '../libc.ts';

// linux/memfd.h, linux/fcntl.h
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
/** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE. */
const allSeals = 1 | 2 | 4 | 8;

/** A text for another process, in memory that is sealed against changes. It may be larger than a message. */
export function sealText(name: string, text: string): number {
  const purpose = 'hand a text to another process';
  const fd = checked('memfd_create', memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), purpose);
  try {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
    checked('fcntl', fcntl(fd, F_ADD_SEALS, allSeals), purpose);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** Undefined when it is not a sealed text, or is longer than `bytesMax`. The descriptor stays open. */
export function readSealedText(fd: number, bytesMax: number): string | undefined {
  const seals = fcntl(fd, F_GET_SEALS, 0);
  if (seals === -1 || (seals & allSeals) !== allSeals) return undefined;
  const { size } = fstatSync(fd);
  if (size > bytesMax) return undefined;
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; ) {
    const length = readSync(fd, bytes, at, size - at, at);
    if (length === 0) return undefined;
    at += length;
  }
  return new TextDecoder().decode(bytes);
}
