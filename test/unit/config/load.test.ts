// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configurationOf, load, report } from './in-memory.ts';

const global = (lines: string): string => `global_defs {\n${lines}\n}\n`;

describe('loading', () => {
  it('says why the file cannot be read', () => {
    assert.deepEqual(load({ 'other.conf': '' }), {
      configuration: undefined,
      diagnostics: [],
      unreadable: 'cannot read pair.conf: it does not exist',
    });
  });
  it('gives no configuration when there is an error, and one when there are warnings', () => {
    assert.equal(load('foo').configuration, undefined);
    assert.ok(load(global('umask 1')).configuration !== undefined);
  });
  it('takes the first label of the host name as config id by default', () => {
    const text = '@alpha global_defs { router_id A }\n@beta global_defs { router_id B }';
    assert.equal(configurationOf(text).routerId, 'A');
    assert.equal(configurationOf(text, { configId: 'beta' }).routerId, 'B');
    assert.equal(load(text, { configId: 'gamma' }).configuration?.routerId, 'alpha.example');
  });
  it('warns of a file in which nothing is in force, and takes it', () => {
    const text =
      'pair.conf:1:1: warning: no statement is in force in this file, so no virtual router and no virtual service runs: ' +
      'write a vrrp_instance or a virtual_server';
    const notRead = { 'pair.conf': 'includea none.d/*.conf\n' };
    for (const empty of ['', '\n \n', '# vrrp_instance web {\n! }', '@beta global_defs { router_id B }', '$A=1\n']) {
      assert.deepEqual(report(empty), [text], JSON.stringify(empty));
      assert.deepEqual(load(empty).configuration?.virtualRouters, []);
    }
    // The error that explains the empty configuration is enough.
    assert.equal(report(notRead).length, 1);
    assert.match(report(notRead)[0] ?? '', / error: /);
    assert.deepEqual(report('global_defs {\n}'), []);
  });
  it('orders problems by file, in the order of reading, then by place', () => {
    const files = {
      'pair.conf': 'include z.conf\nfoo1\ninclude a.conf\nbar1 bar2',
      'z.conf': '\n foo2',
      'a.conf': 'foo3',
    };
    assert.deepEqual(
      report(files).map((line) => line.replace(/ error.*/, '')),
      ['pair.conf:2:1:', 'pair.conf:4:1:', 'z.conf:2:2:', 'a.conf:1:1:'],
    );
  });
  it('shows a thousand problems at most', () => {
    const lines = report('foo\n'.repeat(1002));
    assert.equal(lines.length, 1001);
    assert.equal(lines.at(-1), 'pair.conf:1000:1: error: 2 more are not shown');
  });
  it('an error that is not shown counts too', () => {
    const text = `global_defs {\n${'umask 1\n'.repeat(1000)}`;
    assert.ok(load(`${text}umask 1\n}`).configuration !== undefined);
    assert.equal(report(`${text}umask 1\n}`).at(-1), 'pair.conf:1001:1: warning: 1 more is not shown');
    assert.equal(load(`${text}foo\n}`).configuration, undefined);
    assert.equal(report(`${text}foo\n}`).at(-1), 'pair.conf:1001:1: error: 1 more is not shown');
  });
});
