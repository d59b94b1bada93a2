// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { claimRunDirectory } from '../../../src/platform/linux/process/run-directory.ts';

const notRoot = process.getuid?.() !== 0 && 'needs root to be another user';
const nobody = 65534;

describe('a run-dir', () => {
  const parent = mkdtempSync(join(tmpdir(), 'baton-test-'));
  after(() => rmSync(parent, { recursive: true }));
  let path: string;
  let count = 0;
  beforeEach(() => {
    count += 1;
    path = join(parent, String(count));
  });

  const modeOf = (file: string): string => (lstatSync(file).mode & 0o777).toString(8);
  const refusal = (sentence: string): void => assert.throws(() => claimRunDirectory(path), new Error(sentence));

  test('is made with its parents, for its user alone', () => {
    path = join(path, 'deeper');
    const { release } = claimRunDirectory(path);
    assert.deepEqual([modeOf(path), modeOf(join(path, 'lock'))], ['700', '600']);
    assert.equal(readFileSync(join(path, 'lock'), 'utf8'), `${process.pid}\n`);
    refusal(`another director runs with ${path} (process ${process.pid}); stop it, or give this one another --run-dir`);
    release();
    claimRunDirectory(path).release();
  });

  test('may be readable for others, but not everybody may write to it', () => {
    mkdirSync(path);
    chmodSync(path, 0o755);
    claimRunDirectory(path).release();
    for (const mode of [0o757, 0o1777]) {
      chmodSync(path, mode);
      refusal(
        `everybody may write to the run-dir ${path}; forbid it (chmod o-w ${path}), or name another with --run-dir`,
      );
    }
  });

  test('of another user is refused', { skip: notRoot }, () => {
    mkdirSync(path);
    chownSync(path, nobody, nobody);
    refusal(
      `the run-dir ${path} belongs to another user (${nobody}); run as that user, or name another with --run-dir`,
    );
  });

  test('of root is good for others whom it lets in', { skip: notRoot }, () => {
    mkdirSync(path);
    chmodSync(path, 0o770);
    chmodSync(parent, 0o755);
    const module = new URL('../../../src/platform/linux/process/run-directory.js', import.meta.url).href;
    const program = `
      const { claimRunDirectory } = await import(${JSON.stringify(module)});
      process.seteuid(${nobody});
      claimRunDirectory(${JSON.stringify(path)});`;
    execFileSync(process.execPath, ['--input-type=module', '-e', program]);
    assert.equal(statSync(join(path, 'lock')).uid, nobody);
  });

  for (const suffix of ['', '/', '/.']) {
    test(`that is a link is refused${suffix && `, with ${suffix} at the end too`}`, () => {
      const link = path;
      mkdirSync(`${link}-target`);
      symlinkSync(`${link}-target`, link);
      assert.throws(
        () => claimRunDirectory(`${link}${suffix}`),
        new Error(`the run-dir ${link} is a symbolic link; name the directory itself with --run-dir`),
      );
    });
  }

  test('that is no directory is refused', () => {
    writeFileSync(path, '');
    refusal(`cannot use ${path} as run-dir (EEXIST); run as its owner, or name another with --run-dir`);
  });

  test('with a link for a lock is refused, and what it points to stays as it was', () => {
    mkdirSync(path);
    const target = join(parent, 'precious');
    writeFileSync(target, 'precious\n');
    const lock = join(path, 'lock');
    for (const each of [target, join(parent, 'absent')]) {
      symlinkSync(each, lock);
      refusal(`${lock} is a symbolic link, which no director makes; remove it, or name another --run-dir`);
      rmSync(lock);
    }
    assert.equal(readFileSync(target, 'utf8'), 'precious\n');
    assert.equal(lstatSync(join(parent, 'absent'), { throwIfNoEntry: false }), undefined);
  });

  test('with something else for a lock is refused', () => {
    mkdirSync(path);
    const lock = join(path, 'lock');
    const other = `${lock} is none that a director of this user made; remove it, or name another --run-dir`;
    execFileSync('mkfifo', [lock]);
    refusal(other);
    rmSync(lock);
    writeFileSync(join(path, 'precious'), 'precious\n');
    linkSync(join(path, 'precious'), lock);
    refusal(other);
    assert.equal(readFileSync(lock, 'utf8'), 'precious\n');
    rmSync(lock);
    if (notRoot !== false) return;
    writeFileSync(lock, '');
    chownSync(lock, nobody, nobody);
    refusal(other);
  });
});
