// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';

const xdp = probeXdp();
const skip = process.getuid?.() === 0 ? (xdp.usable ? false : xdp.reason) : 'needs root to become another user';
const script = fileURLToPath(new URL('xdp-load-inside.js', import.meta.url));

test('the shipped object is loaded with CAP_BPF and CAP_NET_ADMIN alone', { skip }, (t) => {
  const only = '-all,+bpf,+net_admin';
  const user = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const capabilities = ['--bounding-set', only, '--inh-caps', only, '--ambient-caps', only];
  const { status, stdout, stderr } = spawnSync('setpriv', [...user, ...capabilities, process.execPath, script], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  t.diagnostic(stdout.trim());
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
  assert.match(stdout, /^uid 65534 loads it with fragments .*\nuid 65534 loads it without fragments /);
});
