// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import type { Engine } from '../engine/engine.ts';
import type { BpfDescriptor, BpfObject, BpfProgram, XdpLink } from '../engine/xdp/bpf-object.ts';
import { layoutFingerprint } from '../engine/xdp/layout/fingerprint.ts';
import { LeaseLayout, MailboxLayout, RecordLayout } from '../engine/xdp/layout/structs.ts';
import { Mailbox, mailboxes } from '../engine/xdp/mailbox.ts';
import { MappedArray } from '../engine/xdp/mapped-array.ts';
import type { Log } from '../lib/log.ts';
import { leaseSlots } from '../model/lease.ts';
import { openXdpLink } from '../platform/linux/bpf/attachment.ts';
import { shippedObjectDigest } from '../platform/linux/bpf/load.ts';
import { openBpfObject } from '../platform/linux/bpf/object.ts';
import { close } from '../platform/linux/libc.ts';
import type { SuccessorDescriptors } from './successor-descriptors.ts';

/** The XDP program of a predecessor, attached and forwarding. */
export interface XdpPredecessor {
  readonly object: BpfObject;
  readonly links: readonly XdpLink[];
  /** True for a program of this version, whose maps stay in use; otherwise `replaceProgram` copies their content. */
  readonly same: boolean;
}

/** Slots that one run of the export looks at. */
const slotsPerRun = 4096;
const recordsPerRun = 1024;

/** The descriptors that a successor needs to continue with this program, named as `openXdpPredecessor` expects. */
export function descriptorsForSuccessor(object: BpfObject, links: readonly XdpLink[]): SuccessorDescriptors {
  return {
    label: [programLabel(), tableLabel].join(' '),
    descriptors: [
      ...object.descriptors().map(({ kind, name, fd }) => ({ name: `${kind} ${name}`, fd })),
      ...links.map(({ interfaceIndex, fd }) => ({ name: `link ${interfaceIndex}`, fd })),
    ],
  };
}

/** Undefined, with everything closed, when the predecessor is of a version whose maps cannot be read at all. */
export function openXdpPredecessor({ label, descriptors }: SuccessorDescriptors, log: Log): XdpPredecessor | undefined {
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
  log('warn', 'the previous director ran a version whose connections cannot be read; they are learnt from the peer');
  for (const link of links) {
    link.detach();
    link.close();
  }
  for (const { fd } of parts) close(fd);
  return undefined;
}

/** Replaces another version's program, which forwards until then, by this version's, and copies its connections. */
export async function replaceProgram(
  predecessor: XdpPredecessor,
  own: { readonly object: BpfObject; readonly program: BpfProgram; readonly engine: Engine },
  log: Log,
): Promise<void> {
  const { object, program, engine } = own;
  const connections = await copyConnections(predecessor.object, engine);
  copyLeases(predecessor.object, object);
  for (const link of predecessor.links) if (link.isAttached()) link.replace(program);
  // Copies the connections that were opened during the first copy.
  await copyConnections(predecessor.object, engine);
  predecessor.object.close();
  log('info', "the predecessor's version of the XDP program was replaced, its connections go on", { connections });
}

/** Copies the connections of another version's table, which stays in use meanwhile. Returns the number applied. */
async function copyConnections(from: BpfObject, engine: Engine): Promise<number> {
  const mailbox = new Mailbox(from, mailboxes.director);
  let applied = 0;
  for (let cursor: number | undefined = 0; cursor !== undefined; ) {
    const page = mailbox.exportRecords(cursor, slotsPerRun, recordsPerRun);
    const outcome = await engine.applyBatch(page.records.slice());
    applied += outcome.applied;
    cursor = page.next;
    // Health checks, sync and requests have their turn between two pages.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return applied;
}

/** Copies the leases of another version's program, so that this one forwards from the first packet on. */
function copyLeases(from: BpfObject, to: BpfObject): void {
  const source = new MappedArray(from.maps.get('leases')!);
  const target = new MappedArray(to.maps.get('leases')!);
  for (let slot = 0; slot < leaseSlots; slot += 1) {
    Atomics.store(target.longs, slot, Atomics.load(source.longs, slot));
    // Each lease counts as held since now, so that packets wait for connections that the table may lack.
    Atomics.store(target.longs, leaseSlots + 1 + slot, process.hrtime.bigint());
  }
}

let program: string | undefined;

/** Identifies the program and the layouts of its maps exactly. */
function programLabel(): string {
  program ??= `${layoutFingerprint} ${shippedObjectDigest()}`;
  return program;
}

/** Identifies the layouts that `copyConnections` and `copyLeases` read of another version. */
const tableLabel = createHash('sha256')
  .update(JSON.stringify([MailboxLayout, RecordLayout, LeaseLayout, leaseSlots]))
  .digest('hex')
  .slice(0, 32);
