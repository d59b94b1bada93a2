// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

// Runs the commands of the README, section "By hand", word for word: two directors in hand-made namespaces, nothing
// of the drill, and a download that must cross a kill -9 of the active one. Only the surroundings are the test's own:
// namespaces that vanish with the shell, so that nothing of the host is touched.

const builtRoot = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const document = readFileSync('README.md', 'utf8');
const timeoutMs = 60_000;
const searchPath = `${process.env.PATH}:/usr/sbin:/sbin`;
const missing = ['ip', 'unshare', 'mount', 'sysctl', 'curl', 'python3', 'sha256sum'].filter(
  (tool) => !isInstalled(tool),
);
const skip = missing.length > 0 && `not installed: ${missing.join(', ')}`;

test('a download by curl crosses a kill -9 of the active director in hand-made namespaces', { skip }, () => {
  const blocks = shellBlocks(document.split('\n## By hand, without the lab\n')[1]?.split('\n## ')[0] ?? '');
  assert.equal(blocks.length, 5);
  const cleanUp = blocks[4]!;
  const script = [
    'set -euo pipefail',
    'mount -t tmpfs by-hand /run',
    'mkdir /run/checkout && cd /run/checkout',
    `ln -s "$1" dist`,
    ...blocks.slice(0, 4),
    'grep -c . by-hand/lb2.log > /dev/null',
    'set -- $(sha256sum by-hand/download by-hand/received)',
    'echo "sent $1 received $3"',
    cleanUp,
    'ls; ip netns list; echo "all removed"',
  ].join('\n');
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
  const command = [...user, ...namespaces, 'bash', '-c', script, 'by-hand', builtRoot];
  const { status, stdout, stderr } = spawnSync('unshare', command, {
    encoding: 'utf8',
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    env: { ...process.env, PATH: searchPath },
  });
  const said = `${stdout}\n${stderr}`;
  assert.equal(status, 0, said);
  const [, sent, received] = /^sent (\w+) received (\w+)$/m.exec(stdout) ?? [];
  assert.ok(sent !== undefined && sent === received, said);
  assert.match(stdout, /^web +51 +eth0 +MASTER /m);
  assert.ok(stdout.endsWith('dist\nall removed\n'), said);
});

function isInstalled(tool: string): boolean {
  return searchPath.split(':').some((directory) => existsSync(join(directory, tool)));
}

function shellBlocks(markdown: string): string[] {
  return [...markdown.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1]!);
}
