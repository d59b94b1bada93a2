// SPDX-License-Identifier: Apache-2.0
import type { VirtualRouterStatus } from '../../../src/director/status.ts';
import type { FromVrrpProcess, ToVrrpProcess } from '../../../src/processes/vrrp-messages.ts';

// Stands in for the vrrp process: speaks its messages and touches no network. Tells its pid as a priority, and the gate
// as a name.

const manner = process.argv[2];
const tell = (message: FromVrrpProcess, then: () => void = () => undefined): void => {
  process.send?.(message, undefined, {}, then);
};
let gate = 'gate unknown';

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
    if (request.kind === 'configure') {
      tell({ kind: 'active', names: request.assignments.map(({ router }) => router.name) });
      const sentence = 'there is no interface eth0';
      tell({ kind: 'answer', id, value: manner === 'faulty' ? [sentence, sentence] : [] });
    } else if (request.kind === 'status') {
      const status = { name: gate, priority: process.pid } as VirtualRouterStatus;
      tell({ kind: 'answer', id, value: [status] });
    } else tell({ kind: 'answer', id, value: undefined });
  });
  tell({ kind: 'ready' });
}
