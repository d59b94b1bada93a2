// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Engine } from '../engine/engine.ts';
import type { BpfDescriptor, BpfObject, XdpLink } from '../engine/xdp/bpf-object.ts';
import { layoutFingerprint } from '../engine/xdp/layout/fingerprint.ts';
import { LeaseLayout, MailboxLayout, RecordLayout } from '../engine/xdp/layout/structs.ts';
import { Mailbox, mailboxes } from '../engine/xdp/mailbox.ts';
import { MappedArray } from '../engine/xdp/mapped-array.ts';
import type { Log } from '../lib/log.ts';
import { openXdpLink } from '../platform/linux/bpf/attachment.ts';
import { shippedObjectPath } from '../platform/linux/bpf/load.ts';
import { openBpfObject } from '../platform/linux/bpf/object.ts';
import { close } from '../platform/linux/libc.ts';
import { leaseSlots } from '../platform/linux/process/lease-memory.ts';
import type { KeptDescriptors } from './handover-messages.ts';

/** The XDP program that a former director has left, attached and forwarding. */
export interface XdpLegacy {
  readonly object: BpfObject;
  readonly links: readonly XdpLink[];
  /** It is this version's own: its maps are gone on with. Otherwise only what `takeOverTable` takes. */
  readonly same: boolean;
}

/** Slots that one run of the export looks at. */
const slotsPerRun = 4096;
const recordsPerRun = 1024;

/** What outlives this director, under names that `openLegacy` knows. */
export function legacyOf(object: BpfObject, links: readonly XdpLink[]): KeptDescriptors {
  return {
    label: [programLabel(), tableLabel].join(' '),
    descriptors: [
      ...object.descriptors().map(({ kind, name, fd }) => ({ name: `${kind} ${name}`, fd })),
      ...links.map(({ interfaceIndex, fd }) => ({ name: `link ${interfaceIndex}`, fd })),
    ],
  };
}

/** Undefined, with everything closed, when a version has left it whose maps cannot be read at all. */
export function openLegacy({ label, descriptors }: KeptDescriptors, log: Log): XdpLegacy | undefined {
  const links: XdpLink[] = [];
  const parts: BpfDescriptor[] = [];
  for (const { name, fd } of descriptors) {
    const [kind = '', ...rest] = name.split(' ');
    if (kind === 'link') links.push(openXdpLink(fd));
    else if (kind === 'map' || kind === 'program') parts.push({ kind, name: rest.join(' '), fd });
    else close(fd);
  }
  const same = label === [programLabel(), tableLabel].join(' ');
  if (same || label.endsWith(` ${tableLabel}`)) return { object: openBpfObject(parts), links, same };
  log('warn', 'the former director ran a version whose connections cannot be read; they are learnt from the peer');
  for (const link of links) {
    link.detach();
    link.close();
  }
  for (const { fd } of parts) close(fd);
  return undefined;
}

/** Copies the connections of another version's table, which goes on being used meanwhile. Returns how many. */
export async function takeOverTable(former: BpfObject, engine: Engine): Promise<number> {
  const mailbox = new Mailbox(former, mailboxes.director);
  let applied = 0;
  for (let cursor: number | undefined = 0; cursor !== undefined; ) {
    const page = mailbox.exportRecords(cursor, slotsPerRun, recordsPerRun);
    const outcome = await engine.applyBatch(page.records.slice());
    applied += outcome.applied;
    cursor = page.next;
    // Checks, advertisement of others' news and requests have their turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return applied;
}

/** The leases of another version's program, so that its successor forwards from the first packet on. */
export function takeOverLeases(former: BpfObject, object: BpfObject): void {
  const from = new MappedArray(former.maps.get('leases')!);
  const to = new MappedArray(object.maps.get('leases')!);
  for (let slot = 0; slot < leaseSlots; slot += 1) {
    Atomics.store(to.longs, slot, Atomics.load(from.longs, slot));
    // Held since now: what the table may lack is waited for.
    Atomics.store(to.longs, leaseSlots + 1 + slot, process.hrtime.bigint());
  }
}

let program: string | undefined;

/** Names the program and the layouts of its maps exactly. */
function programLabel(): string {
  program ??= `${layoutFingerprint} ${createHash('sha256').update(readFileSync(shippedObjectPath)).digest('hex')}`;
  return program;
}

/** Names all that `takeOverTable` and `takeOverLeases` read of another version. */
const tableLabel = createHash('sha256')
  .update(JSON.stringify([MailboxLayout, RecordLayout, LeaseLayout, leaseSlots]))
  .digest('hex')
  .slice(0, 32);
