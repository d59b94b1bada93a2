// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activeHeard } from '../../../src/director/election/active-heard.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { createRouter, nextDeadline, step } from '../../../vrrp/machine.ts';
import type { RouterEvent, RouterState } from '../../../vrrp/state.ts';
import { router } from '../director/configurations.ts';

const heard = (source: string, intervalMs: number, priority = 50): RouterEvent => ({
  kind: 'advertisementReceived',
  source: source as IpAddress,
  priority,
  intervalMs,
});

function after(...events: readonly RouterEvent[]): { readonly state: RouterState } {
  let state = createRouter(router('web', 51, ['192.0.2.10']), '192.0.2.2' as IpAddress, 0);
  for (const event of [{ kind: 'startup' } as const, ...events]) state = step(state, event, 1).state;
  return { state };
}

test('the active directors that backups hear, and the longest silence of one that lives', () => {
  const slow = after(heard('192.0.2.9', 1000));
  const fast = after(heard('192.0.2.3', 100));
  const found = activeHeard([slow, fast, slow]);
  assert.deepEqual(found?.sources, ['192.0.2.3', '192.0.2.9']);
  assert.ok(found.downIntervalMs > 3000 && found.downIntervalMs < 4000, String(found.downIntervalMs));
});

test('nobody: none was heard, it resigned, or this director is active itself', () => {
  const resigned = after(heard('192.0.2.9', 1000), heard('192.0.2.9', 1000, 0));
  const fault = after(heard('192.0.2.9', 1000), { kind: 'faultRaised', reason: { kind: 'link' } });
  const { state: backup } = after();
  const { state: active } = step(backup, { kind: 'timer' }, nextDeadline(backup)!);
  assert.equal(active.kind, 'active');
  assert.equal(activeHeard([after(), resigned, fault, { state: active }]), undefined);
});
