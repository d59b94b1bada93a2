// SPDX-License-Identifier: Apache-2.0
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errno, flock } from '../libc.ts';
import { errnos, SystemError } from '../system-error.ts';

// asm-generic/fcntl.h
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Makes a run-dir and holds its lock until the process ends; the kernel lets go of it then, however the process ends.
 * Throws a sentence when another director holds it, or when the directory cannot be made.
 */
export function claimRunDirectory(path: string): { readonly release: () => void } {
  const lockPath = join(path, 'lock');
  const fd = openLock(path, lockPath);
  if (flock(fd, LOCK_EX | LOCK_NB) === -1) {
    const error = errno();
    const holder = readFileSync(lockPath, 'utf8').trim();
    closeSync(fd);
    if (error !== errnos.EAGAIN) throw new SystemError('flock', error, `lock ${lockPath}`);
    throw new Error(
      `another director runs with ${path} (process ${holder}); stop it, or give this one another --run-dir`,
    );
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`, 0);
  return { release: () => closeSync(fd) };
}

function openLock(path: string, lockPath: string): number {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return openSync(lockPath, 'a+', 0o600);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new Error(`cannot use ${path} as run-dir (${code}); run as its owner, or name another with --run-dir`);
  }
}
