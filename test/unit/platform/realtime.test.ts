// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

const autogroupSwitch = '/proc/sys/kernel/sched_autogroup_enabled';

function autogroupsUnavailable(): string | false {
  if (process.getuid?.() !== 0) return 'needs root to ask for a preference';
  if (!existsSync(autogroupSwitch)) return 'this kernel has no autogroups';
  return readFileSync(autogroupSwitch, 'utf8').trim() === '1' ? false : 'autogroups are switched off';
}

/** The niceness of the autogroup of a process that has asked for a preference. */
async function autogroupAfterAsking(leadsSession: boolean): Promise<string> {
  const module = new URL('../../../src/platform/linux/process/realtime.js', import.meta.url);
  const code = `
    const { requestPreference } = await import(${JSON.stringify(module.href)});
    const refusal = requestPreference();
    const { readFileSync } = await import('node:fs');
    console.log(refusal ?? readFileSync('/proc/self/autogroup', 'utf8').trim());`;
  const words = ['--input-type=module', '-e', code];
  // A shell in between leads the session.
  const child = leadsSession
    ? spawn(process.execPath, words, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
    : spawn('sh', ['-c', '"$@"; true', 'sh', process.execPath, ...words], {
        detached: true,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
  return (await text(child.stdout!)).trim();
}

test('a preference counts against other sessions', { skip: autogroupsUnavailable() }, async () => {
  assert.match(await autogroupAfterAsking(true), /^\/autogroup-\d+ nice -15$/);
});

test("a preference is not asked for somebody else's session", { skip: autogroupsUnavailable() }, async () => {
  assert.match(await autogroupAfterAsking(false), /^\/autogroup-\d+ nice 0$/);
});
