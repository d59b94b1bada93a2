// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { NodeTcpConnector } from '../../../src/platform/linux/check/tcp-connector.ts';
import { eventually } from '../../support/namespaces.ts';

const loopback = '127.0.0.1' as IpAddress;

describe('the TCP connector', () => {
  test('an open port is established, then reset; a closed one is not', async () => {
    const endings: string[] = [];
    const server = createServer((socket) => {
      socket.on('error', ({ code }: NodeJS.ErrnoException) => endings.push(String(code)));
    });
    server.listen(0, loopback);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const connector = new NodeTcpConnector();
    assert.equal(await connector.connect(loopback, port, 1000), true);
    server.close();
    await once(server, 'close');
    assert.deepEqual(endings, ['ECONNRESET']);
    assert.equal(await connector.connect(loopback, port, 1000), false);
  });

  test('silence is waited for until the timeout, and leaves no socket behind', async () => {
    // Reserved for documentation (RFC 5737): nobody answers, or the host says at once that there is no route.
    assert.equal(await new NodeTcpConnector().connect('192.0.2.1' as IpAddress, 9, 30), false);
    await eventually(() => process.getActiveResourcesInfo().every((name) => !name.startsWith('TCP')));
  });
});
