// SPDX-License-Identifier: Apache-2.0
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  type Stats,
  writeSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { errno, flock } from '../libc.ts';
import { errnos, SystemError } from '../system-error.ts';

// asm-generic/fcntl.h
const LOCK_EX = 2;
const LOCK_NB = 4;

const processIdLengthMax = 20;

/**
 * Makes a run-dir and holds its lock until the process ends; the kernel releases it then, however the process ends.
 * Throws a sentence when another director holds it, when the directory cannot be made, or when another user could
 * have put its contents there: no link is followed, and no file that another user owns is used.
 */
export function claimRunDirectory(path: string): { readonly release: () => void } {
  // A slash at the end would make the kernel follow a link in spite of O_NOFOLLOW.
  const directory = resolve(path);
  verifyDirectory(directory);
  const lockPath = join(directory, 'lock');
  const fd = openLock(directory, lockPath);
  if (flock(fd, LOCK_EX | LOCK_NB) === -1) {
    const error = errno();
    const holder = readProcessId(fd);
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

function verifyDirectory(path: string): void {
  const fd = openDirectory(path);
  const status = fstatSync(fd);
  closeSync(fd);
  if (!isTrusted(status)) {
    throw new Error(
      `the run-dir ${path} belongs to another user (${status.uid}); run as that user, or name another with --run-dir`,
    );
  }
  if ((status.mode & constants.S_IWOTH) !== 0) {
    throw new Error(
      `everybody may write to the run-dir ${path}; forbid it (chmod o-w ${path}), or name another with --run-dir`,
    );
  }
}

function openDirectory(path: string): number {
  try {
    if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== true) {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    }
  } catch (error) {
    throw unusable(path, error);
  }
  throw new Error(`the run-dir ${path} is a symbolic link; name the directory itself with --run-dir`);
}

function openLock(directory: string, path: string): number {
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    // O_NONBLOCK: a FIFO in place of the file would block the open.
    fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ELOOP') {
      throw new Error(`${path} is a symbolic link, which no director makes; remove it, or name another --run-dir`);
    }
    throw unusable(directory, error);
  }
  const status = fstatSync(fd);
  if (status.isFile() && status.nlink === 1 && isTrusted(status)) return fd;
  closeSync(fd);
  throw new Error(`${path} is none that a director of this user made; remove it, or name another --run-dir`);
}

/** Root can do everything to this process anyway. */
function isTrusted({ uid }: Stats): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

function unusable(path: string, error: unknown): Error {
  const { code = '' } = error as NodeJS.ErrnoException;
  return new Error(`cannot use ${path} as run-dir (${code}); run as its owner, or name another with --run-dir`);
}

function readProcessId(fd: number): string {
  const bytes = new Uint8Array(processIdLengthMax);
  return new TextDecoder().decode(bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0))).trim();
}
