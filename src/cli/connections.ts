// SPDX-License-Identifier: Apache-2.0
import { defaultRunDirectory, fetchConnections } from '../control/client.ts';
import { ExitCode, parseOptions } from '../lib/command-line.ts';
import type { ConnectionEntry } from '../model/connection.ts';
import { endpointName } from '../model/virtual-service.ts';
import { print } from './print.ts';

/** `baton connections`: streams the connection table, so that a million entries need little memory here. */
export async function connectionsCommand(args: readonly string[]): Promise<ExitCode> {
  const options = parseOptions('connections', args, {
    'run-dir': { type: 'string', default: defaultRunDirectory },
    json: { type: 'boolean', default: false },
  });
  if (!options.json)
    await print(
      'pro expire state       source                  virtual                 destination             owner\n',
    );
  for await (const entry of fetchConnections(options['run-dir'])) {
    await print(options.json ? `${JSON.stringify(entry)}\n` : describeConnection(entry));
  }
  return ExitCode.done;
}

/** One line in the order of `ipvsadm -Lc`. */
export function describeConnection(entry: ConnectionEntry): string {
  const seconds = Math.ceil(entry.expiresInMs / 1000);
  const expire = `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
  const columns = [
    entry.protocol.toUpperCase().padEnd(3),
    expire.padEnd(6),
    entry.state.padEnd(11),
    endpointName({ address: entry.clientAddress, port: entry.clientPort }).padEnd(23),
    endpointName({ address: entry.virtualAddress, port: entry.virtualPort }).padEnd(23),
    endpointName({ address: entry.realAddress, port: entry.realPort }).padEnd(23),
    entry.local ? 'here' : 'learnt',
  ];
  return `${columns.join(' ')}\n`;
}
