// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gracePeriodMs } from '../../../src/succession/grace-period.ts';

const path = 'config/baton.service';
const unit = readUnit(path);

/** The capabilities that the daemon needs. The unit must grant these and no others. */
const capabilities = ['CAP_BPF', 'CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_NICE'];

test('the daemon is not root, and has exactly the capabilities that it needs', () => {
  const { Service } = unit;
  assert.deepEqual(words(Service?.AmbientCapabilities), capabilities);
  assert.deepEqual(words(Service?.CapabilityBoundingSet), capabilities);
  assert.deepEqual([Service?.User, Service?.Group, Service?.NoNewPrivileges], ['baton', 'baton', 'yes']);
});

test('a restart finds the vrrp process and its run-dir, a stop waits for it', () => {
  const { Service, Unit } = unit;
  assert.deepEqual(
    [Service?.Restart, Service?.RestartSec, Service?.KillMode, Service?.RuntimeDirectoryPreserve],
    ['always', '0', 'process', 'restart'],
  );
  assert.deepEqual([Service?.RuntimeDirectory, Service?.RuntimeDirectoryMode], ['baton', '0700']);
  assert.match(Service?.ExecStart ?? '', / --run-dir \/run\/baton$/);
  assert.equal(Service?.ExecReload, '/bin/kill -HUP $MAINPID');
  assert.ok(Number(Service?.TimeoutStopSec) * 1000 > 2 * gracePeriodMs);
  // Otherwise systemd gives up after five starts within ten seconds (DefaultStartLimitBurst).
  assert.ok(Number(Unit?.StartLimitBurst) >= 10 && Number(Unit?.StartLimitIntervalSec) >= 10);
});

test('it is sandboxed, but V8, netlink, packet sockets and the real-time scheduler work', () => {
  const { Service } = unit;
  const families = ['AF_INET', 'AF_INET6', 'AF_NETLINK', 'AF_PACKET', 'AF_UNIX'];
  assert.deepEqual(words(Service?.RestrictAddressFamilies).sort(), families);
  const needed = ['MemoryDenyWriteExecute', 'PrivateUsers', 'PrivateNetwork', 'RestrictRealtime'];
  assert.deepEqual(
    needed.map((name) => `${name}=${Service?.[name]}`),
    needed.map((name) => `${name}=no`),
  );
  assert.ok(words(Service?.SystemCallFilter).includes('bpf'));
});

const verifier = 'systemd-analyze';
test('systemd understands every line', { skip: isThere(verifier) ? false : `needs ${verifier}` }, () => {
  const { status, stderr } = spawnSync(verifier, ['verify', '--man=no', path], { encoding: 'utf8' });
  assert.deepEqual([status, stderr.split('\n').filter((line) => line.includes('baton'))], [0, []]);
});

/** The values by section and key. A key that occurs twice would mean a list; none does here. */
function readUnit(file: string): Record<string, Record<string, string> | undefined> {
  const sections: Record<string, Record<string, string>> = {};
  let section: Record<string, string> = {};
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const head = /^\[(\w+)\]$/.exec(line)?.[1];
    if (head !== undefined) {
      section = {};
      sections[head] = section;
      continue;
    }
    if (line === '' || line.startsWith('#')) continue;
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    assert.ok(key !== undefined && value !== undefined && !(key in section), line);
    section[key] = value;
  }
  return sections;
}

function words(value = ''): string[] {
  return value.split(' ').filter(Boolean);
}

function isThere(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
