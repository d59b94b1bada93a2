// SPDX-License-Identifier: Apache-2.0
import type { VirtualRouterStatus } from '../../../src/director/status.ts';
import { DescriptorChannel } from '../../../src/platform/linux/process/descriptor-passing.ts';
import { readSealedText } from '../../../src/platform/linux/process/sealed-text.ts';
import type { FromVrrpProcess, ToVrrpProcess } from '../../../src/processes/vrrp/requests.ts';
import { parseKept } from '../../../src/succession/handover-messages.ts';
import { lineDescriptor } from '../../../src/succession/keeping.ts';

// Stands in for the vrrp process: speaks its messages and touches no network. Tells its pid as a priority, the gate as a
// name, what it keeps as an interface, and whose ticket it was given as a VRID.

const [manner, runDirectory] = process.argv.slice(2);
const tell = (message: FromVrrpProcess, then: () => void = () => undefined): void => {
  process.send?.(message, undefined, {}, then);
};
let gate = 'gate unknown';
let keeps = 'nothing';
let ticket = 0;

process.on('disconnect', () => process.exit(0));
if (manner === 'short-lived') process.exit(3);
if (manner === 'unable') tell({ kind: 'unable', sentence: 'CAP_NET_RAW is missing' }, () => process.exit(1));
else {
  process.on('message', (message: ToVrrpProcess) => {
    if (message.id === undefined) {
      gate = `gate ${message.gateOpen}`;
      return;
    }
    const { id, request } = message;
    if (request.kind === 'keep') {
      const received = new DescriptorChannel(lineDescriptor).receive();
      const kept = typeof received === 'string' ? undefined : parseKept(received);
      const texts = kept?.ok ? kept.value.descriptors.map(({ name, fd }) => `${name} ${readSealedText(fd, 100)}`) : [];
      keeps = [runDirectory, kept?.ok ? kept.value.label : 'no label', ...texts].join(', ');
      tell({ kind: 'answer', id, value: undefined });
    } else if (request.kind === 'configure') {
      if (manner === 'frail' && request.inherit !== undefined) process.kill(process.pid, 'SIGKILL');
      ticket = request.inherit?.ticket ?? 0;
      tell({ kind: 'active', names: request.assignments.map(({ router }) => router.name) });
      const sentence = 'there is no interface eth0';
      tell({ kind: 'answer', id, value: manner === 'faulty' ? [sentence, sentence] : [] });
    } else if (request.kind === 'status') {
      const status = { name: gate, priority: process.pid, interface: keeps, vrid: ticket } as VirtualRouterStatus;
      tell({ kind: 'answer', id, value: [status] });
    } else tell({ kind: 'answer', id, value: undefined });
  });
  tell({ kind: 'ready' });
}
