// SPDX-License-Identifier: Apache-2.0
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { serveRemote } from '../remote.ts';

// A real server that says who it is: with one byte to each new connection and for each chunk that it receives, and with a
// datagram of one byte for each that asks.

export interface NamingOptions {
  readonly port: number;
  readonly flowPort: number;
  /** The source addresses of UDP answers: a socket for all addresses would answer from any of them. */
  readonly flowAddresses: readonly string[];
  /** 0 to 255. */
  readonly number: number;
}

serveRemote({
  listen: async (options: NamingOptions) => {
    const name = Buffer.of(options.number);
    const server = createServer({ noDelay: true }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', () => socket.write(name));
      socket.write(name);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // Both families: an IPv6 socket takes IPv4 as well.
      server.listen({ port: options.port, host: '::' }, () => resolve());
    });
    for (const address of options.flowAddresses) await answerFlows(address, options.flowPort, name);
  },
});

function answerFlows(address: string, port: number, name: Buffer): Promise<void> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (_, from) => socket.send(name, from.port, from.address, () => {}));
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, address, () => resolve());
  });
}
