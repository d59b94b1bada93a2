// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { formatDiagnostic } from '../../../src/config/language/diagnostic.ts';
import { filesOnDisk } from '../../../src/config/language/files.ts';
import { loadConfiguration } from '../../../src/config/load.ts';

const onDisk = { files: filesOnDisk, hostname: 'high.example' };

describe('sample configurations', () => {
  const samples = readdirSync('config').filter((name) => name.endsWith('.conf'));
  for (const name of samples) {
    it(`${name} is clean`, () => {
      const loaded = loadConfiguration(join('config', name), onDisk);
      assert.deepEqual(loaded.diagnostics.map(formatDiagnostic), []);
      assert.ok(loaded.configuration?.sync !== undefined);
      assert.ok(loaded.configuration.virtualRouters.length > 0 && loaded.configuration.services.length > 0);
    });
  }
});

describe('files on the disk', () => {
  it('says why one cannot be read', () => {
    assert.deepEqual(
      ['config/none.conf', 'config', '/dev/zero', 'config/direct-route.conf/x'].map(
        (path) => loadConfiguration(path, onDisk).unreadable,
      ),
      [
        'cannot read config/none.conf: it does not exist',
        'cannot read config: it is a directory',
        'cannot read /dev/zero: it is not a file',
        'cannot read config/direct-route.conf/x: it does not exist',
      ],
    );
    assert.equal(filesOnDisk.listDirectory('config/none'), undefined);
  });
});

/** Files that others wrote for keepalived. Not part of the repository. */
const corpus = join('..', 'shared', 'corpus', 'keepalived');

describe('configurations from the wild', { skip: existsSync(corpus) ? false : `there is no ${corpus}` }, () => {
  const names = existsSync(corpus) ? readdirSync(corpus).filter((name) => name.startsWith('keepalived.conf')) : [];
  /** The places of statements that are not supported yet and cannot be left out. All other files load. */
  const refused: Readonly<Record<string, string[]>> = {
    'keepalived.conf.conditional_conf': ['3:7'],
    'keepalived.conf.fwmark': ['7:16'],
    'keepalived.conf.virtual_server_group': ['22:16'],
    'keepalived.conf.vrrp.routes': ['25:5'],
  };
  for (const name of names) {
    it(name, () => {
      const path = join(corpus, name);
      const lines = readFileSync(path, 'utf8').split('\n');
      const { diagnostics, configuration } = loadConfiguration(path, onDisk);
      for (const { file, line, column, text } of diagnostics) {
        assert.equal(file, path);
        assert.match(lines[line - 1]?.slice(column - 1) ?? '', /^\S/, text);
        assert.doesNotMatch(text, /unknown|does not belong/);
      }
      const errors = diagnostics.filter(({ severity }) => severity === 'error');
      assert.deepEqual(
        errors.map(({ line, column }) => `${line}:${column}`),
        refused[name] ?? [],
      );
      assert.equal(configuration !== undefined, errors.length === 0);
    });
  }
});
