// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from 'node:fs';

/** Only the first network namespace may set these, so that it happens before the sandbox is entered. */
const buckets = '/sys/module/nf_conntrack/parameters/hashsize';
const entriesMax = '/proc/sys/net/netfilter/nf_conntrack_max';
/** One for each of the entries that measurements with nftables make, and those are far below the maximum. */
const bucketCount = 2_097_152;
const entryCount = 16_777_216;

/** Gives connection tracking room for millions of flows, so that nftables is not measured at its limits. */
export function makeConntrackRoom(): () => void {
  const before = { buckets: read(buckets), entriesMax: read(entriesMax) };
  if (before.buckets === undefined || before.entriesMax === undefined) {
    throw new Error('connection tracking is not there; load it: modprobe nf_conntrack');
  }
  writeFileSync(buckets, String(bucketCount));
  writeFileSync(entriesMax, String(entryCount));
  return () => {
    writeFileSync(buckets, before.buckets!);
    writeFileSync(entriesMax, before.entriesMax!);
  };
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1').trim();
  } catch {
    return undefined;
  }
}
