// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { accept, type Result, reject } from '../../lib/result.ts';

/** The source of a configuration's files: the disk, or the memory of a test. */
export interface ConfigurationFiles {
  /** The reason completes the sentence "cannot read FILE: it …". Never gives more than `sizeMax` bytes. */
  readonly readFile: (path: string, sizeMax: number) => Result<Uint8Array, string>;
  /** The names in a directory, `undefined` when there is none. */
  readonly listDirectory: (path: string) => readonly string[] | undefined;
}

/** Configuration files from the disk. The only file of `src/config` that reads one. */
export const filesOnDisk: ConfigurationFiles = {
  readFile(path, sizeMax) {
    try {
      const status = statSync(path);
      // Reading a pipe or a device could block for ever or never end.
      if (!status.isFile()) return reject(status.isDirectory() ? 'is a directory' : 'is not a file');
      if (status.size > sizeMax) return reject(`is larger than ${sizeMax} bytes`);
      return accept(readFileSync(path));
    } catch (error) {
      return reject(explain(error));
    }
  },
  listDirectory(path) {
    try {
      return readdirSync(path);
    } catch {
      return undefined;
    }
  },
};

function explain(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read: permission denied';
  return `cannot be read: ${code || String(error)}`;
}
