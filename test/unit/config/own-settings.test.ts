// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emitHandoverRecord, parseHandoverRecord } from '../../../src/succession/handover-record.ts';
import { configurationOf } from './in-memory.ts';

const block = 'baton {\nmax_adopted_interval 2.5\n}';

function instance(version: 2 | 3): string {
  return `vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nversion ${version}\nvirtual_ipaddress { 192.0.2.77 }\n}\n`;
}

test('max_adopted_interval is a setting of each virtual router of version 3', () => {
  for (const [text, expected] of [
    [instance(3), undefined],
    [`${instance(3)}${block}`, 2500],
    [`${block}\n${instance(3)}`, 2500],
    [`${instance(2)}${block}`, undefined],
  ] as const) {
    assert.equal(configurationOf(text).virtualRouters[0]?.maxAdoptedIntervalMs, expected);
  }
});

test('it goes on in a successor', () => {
  const [router] = configurationOf(`${instance(3)}${block}`).virtualRouters;
  const assignment = {
    router: router!,
    leaseSlot: 0,
    installed: new Set(router!.addresses.map((each) => each.address)),
  };
  const parsed = parseHandoverRecord(emitHandoverRecord({ gateOpen: true, routers: [{ assignment, record: null }] }));
  assert.ok(parsed.ok);
  assert.equal(parsed.value.routers[0]?.assignment.router.maxAdoptedIntervalMs, 2500);
});

test('track_routes is on unless it is switched off', () => {
  const tracked = (line: string) => configurationOf(`global_defs {\n}\nbaton {\n${line}\n}`).trackRoutes;
  assert.deepEqual(['', 'track_routes', 'track_routes off'].map(tracked), [undefined, undefined, false]);
});

test('sloppy_tcp is off unless it is written', () => {
  assert.deepEqual(
    ['', 'sloppy_tcp', 'sloppy_tcp off', 'sloppy_tcp on'].map(
      (line) => configurationOf(`baton {\n${line}\n}`).sloppyTcp,
    ),
    [undefined, true, false, true],
  );
});
