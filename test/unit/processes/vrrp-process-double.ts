// SPDX-License-Identifier: Apache-2.0
import type { VirtualRouterStatus } from '../../../src/director/status.ts';
import { DescriptorChannel } from '../../../src/platform/linux/process/descriptor-passing.ts';
import { readSealedText } from '../../../src/platform/linux/process/sealed-text.ts';
import type { FromVrrpProcess, ToVrrpProcess } from '../../../src/processes/vrrp/requests.ts';
import { parseDescriptors } from '../../../src/succession/successor-descriptors.ts';
import { lineDescriptor } from '../../../src/succession/vrrp-succession.ts';

// Stands in for the vrrp process: speaks its messages and touches no network. Tells its pid as a priority, the gate as a
// name, what it holds for a successor as an interface, and the number of the successor that it is as a VRID.

const [manner, runDirectory] = process.argv.slice(2);
const tell = (message: FromVrrpProcess, then: () => void = () => undefined): void => {
  process.send?.(message, undefined, {}, then);
};
let gate = 'gate unknown';
let holds = 'nothing';
let successorNumber = 0;

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
    if (request.kind === 'holdDescriptors') {
      const received = new DescriptorChannel(lineDescriptor).receive();
      const held = typeof received === 'string' ? undefined : parseDescriptors(received);
      const texts = held?.ok ? held.value.descriptors.map(({ name, fd }) => `${name} ${readSealedText(fd, 100)}`) : [];
      holds = [runDirectory, held?.ok ? held.value.label : 'no label', ...texts].join(', ');
      tell({ kind: 'answer', id, value: undefined });
    } else if (request.kind === 'configure') {
      if (manner === 'frail' && request.predecessor !== undefined) process.kill(process.pid, 'SIGKILL');
      successorNumber = request.predecessor?.successorNumber ?? 0;
      tell({ kind: 'active', names: request.assignments.map(({ router }) => router.name) });
      const sentence = 'there is no interface eth0';
      tell({ kind: 'answer', id, value: manner === 'faulty' ? [sentence, sentence] : [] });
    } else if (request.kind === 'status') {
      const status = {
        name: gate,
        priority: process.pid,
        interface: holds,
        vrid: successorNumber,
      } as VirtualRouterStatus;
      tell({ kind: 'answer', id, value: [status] });
    } else tell({ kind: 'answer', id, value: undefined });
  });
  tell({ kind: 'ready' });
}
