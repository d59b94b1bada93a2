// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { publishLagMaxMs, synPublicationsBurst, synPublicationsPerMs } from '../../../src/connection/publication.ts';
import { Maps } from '../../../src/engine/xdp/layout/maps.ts';
import {
  leaseEndless,
  mailboxEnd,
  mailboxRecords,
  noDestination,
  portsMax,
  ways,
} from '../../../src/engine/xdp/limits.ts';
import { leaseSlots, routerLeaseSlotsMax, Sign, signs } from '../../../src/model/lease.ts';
import { repositoryRoot } from '../../support/bpf/objects.ts';

const headers = ['layout.h', 'publisher.h'].map((name) =>
  readFileSync(join(repositoryRoot, 'src/engine/xdp/bpf', name), 'utf8'),
);
const header = headers.join('\n');

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
      SIGNS: macro('SIGNS'),
      SIGN_PUBLISHER: macro('SIGN_PUBLISHER'),
      PUBLISH_LAG_MAX_MS: macro('PUBLISH_LAG_MAX_MS'),
      SYN_PUBLICATIONS_PER_MS: macro('SYN_PUBLICATIONS_PER_MS'),
      SYN_PUBLICATIONS_BURST: macro('SYN_PUBLICATIONS_BURST'),
    },
    {
      LEASE_SLOTS: leaseSlots,
      LEASE_ENDLESS: leaseEndless,
      NO_DESTINATION: noDestination,
      MAILBOX_END: mailboxEnd,
      MAILBOX_RECORDS: mailboxRecords,
      PORTS: portsMax,
      WAYS: ways,
      SIGNS: signs,
      SIGN_PUBLISHER: Sign.publisher,
      PUBLISH_LAG_MAX_MS: publishLagMaxMs,
      SYN_PUBLICATIONS_PER_MS: synPublicationsPerMs,
      SYN_PUBLICATIONS_BURST: synPublicationsBurst,
    },
  );
});

test('the map of the leases has each slot twice, the signs of life, and two words of the portable engine', () => {
  assert.equal(Maps.leases.maxEntries, 2 * leaseSlots + signs + 2);
  assert.ok(routerLeaseSlotsMax <= leaseEndless, 'no slot is taken for an endless lease');
});
