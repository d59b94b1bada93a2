// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Maps } from '../../../src/engine/xdp/layout/maps.ts';
import {
  leaseEndless,
  mailboxEnd,
  mailboxRecords,
  noDestination,
  portsMax,
  ways,
} from '../../../src/engine/xdp/limits.ts';
import { leaseSlots, routerLeaseSlotsMax } from '../../../src/model/lease.ts';
import { repositoryRoot } from '../../support/bpf/objects.ts';

const header = readFileSync(join(repositoryRoot, 'src/engine/xdp/bpf/layout.h'), 'utf8');

/** A number that the header defines. */
function macro(name: string): number {
  const value = new RegExp(`^#define ${name} (0x[0-9a-f]+|[0-9]+)`, 'm').exec(header)?.[1];
  assert.ok(value !== undefined, `layout.h defines ${name}`);
  return Number(value);
}

test('what layout.h has as macros is the same here', () => {
  assert.deepEqual(
    {
      LEASE_SLOTS: macro('LEASE_SLOTS'),
      LEASE_ENDLESS: macro('LEASE_ENDLESS'),
      NO_DESTINATION: macro('NO_DESTINATION'),
      MAILBOX_END: macro('MAILBOX_END'),
      MAILBOX_RECORDS: macro('MAILBOX_RECORDS'),
      PORTS: macro('PORTS'),
      WAYS: macro('WAYS'),
    },
    {
      LEASE_SLOTS: leaseSlots,
      LEASE_ENDLESS: leaseEndless,
      NO_DESTINATION: noDestination,
      MAILBOX_END: mailboxEnd,
      MAILBOX_RECORDS: mailboxRecords,
      PORTS: portsMax,
      WAYS: ways,
    },
  );
});

test('the map of the leases has each slot twice, and the round word', () => {
  assert.equal(Maps.leases.maxEntries, 2 * leaseSlots + 1);
  assert.ok(routerLeaseSlotsMax <= leaseEndless, 'no slot is taken for an endless lease');
});
