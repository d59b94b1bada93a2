// SPDX-License-Identifier: Apache-2.0
import type { VirtualRouterStatus } from '../../../src/director/status.ts';
import { type Served, serveLater } from '../../../src/lib/request-line.ts';
import { DescriptorChannel } from '../../../src/platform/linux/process/descriptor-passing.ts';
import { readSealedText } from '../../../src/platform/linux/process/sealed-text.ts';
import type { FromVrrpProcess, ToVrrpProcess, VrrpRequests } from '../../../src/processes/vrrp/requests.ts';
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
  const procedures: Served<VrrpRequests> = {
    holdDescriptors: () => {
      const received = new DescriptorChannel(lineDescriptor).receive();
      const held = typeof received === 'string' ? undefined : parseDescriptors(received);
      const texts = held?.ok ? held.value.descriptors.map(({ name, fd }) => `${name} ${readSealedText(fd, 100)}`) : [];
      holds = [runDirectory, held?.ok ? held.value.label : 'no label', ...texts].join(', ');
      return undefined;
    },
    configure: (assignments, successor) => {
      if (manner === 'frail' && successor !== undefined) process.kill(process.pid, 'SIGKILL');
      successorNumber = successor ?? 0;
      tell({ kind: 'active', names: assignments.map(({ router }) => router.name) });
      const sentence = 'there is no interface eth0';
      return manner === 'faulty' ? [sentence, sentence] : [];
    },
    status: () => [
      { name: gate, priority: process.pid, interface: holds, vrid: successorNumber } as VirtualRouterStatus,
    ],
    handOver: () => [],
    stop: () => undefined,
  };
  process.on('message', async (message: ToVrrpProcess) => {
    if ('gateOpen' in message) gate = `gate ${message.gateOpen}`;
    else tell(await serveLater(procedures, message));
  });
  tell({ kind: 'ready' });
}
