// SPDX-License-Identifier: Apache-2.0
import { defaultRunDirectory, requestFailover } from '../control/client.ts';
import { ExitCode, parseOptions } from '../lib/command-line.ts';

/** `baton failover`: the director hands its virtual routers over on purpose. */
export async function failoverCommand(args: readonly string[]): Promise<ExitCode> {
  const options = parseOptions('failover', args, { 'run-dir': { type: 'string', default: defaultRunDirectory } });
  const names = await requestFailover(options['run-dir']);
  if (names.length === 0) {
    process.stderr.write('baton failover: no virtual router is active on this director; run it on the active one\n');
    return ExitCode.failed;
  }
  process.stdout.write(`handed over: ${names.join(', ')}\n`);
  return ExitCode.done;
}
