// SPDX-License-Identifier: Apache-2.0
import { Maps } from './layout/maps.ts';
import { Bucket4Layout, Entry4Layout, MailboxLayout, RecordLayout } from './layout/structs.ts';

// The constants that layout.h has as macros, which an object's types do not contain. A test compares the two.

/** LEASE_ENDLESS. */
export const leaseEndless = 0xffff;
/** NO_DESTINATION. */
export const noDestination = 0xffff;
/** MAILBOX_END. */
export const mailboxEnd = 0xffff_ffff;
/** WAYS: entries of a bucket. */
export const ways = Bucket4Layout.size / Entry4Layout.size;
/** PORTS: an interface stands at its index modulo this. */
export const portsMax = Maps.ports.maxEntries;
/** MAILBOX_RECORDS. */
export const mailboxRecords = (MailboxLayout.size - MailboxLayout.records) / RecordLayout.size;
