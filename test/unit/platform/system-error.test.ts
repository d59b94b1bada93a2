// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { missingPrivilege } from '../../../src/platform/linux/packet/packet-socket.ts';
import { requestRealTime } from '../../../src/platform/linux/process/realtime.ts';
import { errnos, SystemError } from '../../../src/platform/linux/system-error.ts';

describe('sentences about failures', () => {
  test('a system call', () => {
    const sentences = [
      new SystemError('bind', errnos.EADDRINUSE, 'bind to port 8848').message,
      new SystemError('socket', errnos.EPERM).message,
      new SystemError('ioctl', 9999).message,
    ];
    assert.deepEqual(sentences, [
      'cannot bind to port 8848: the address is in use by another process (bind: EADDRINUSE)',
      'socket failed: permission was denied (EPERM)',
      'ioctl failed: the kernel refused (9999)',
    ]);
  });

  test('a missing privilege', () => {
    assert.equal(
      missingPrivilege('open a packet socket'),
      'cannot open a packet socket: CAP_NET_RAW is missing; run as root, or grant it with `setcap ' +
        'cap_net_raw,cap_net_admin+ep` on the node executable or AmbientCapabilities= in the systemd unit',
    );
  });

  test('real-time priority is granted, or it is said why not', () => {
    const refusal = requestRealTime();
    if (refusal !== undefined) assert.match(refusal, /^the scheduler refused a real-time priority \(E/);
  });
});
