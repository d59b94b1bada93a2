// SPDX-License-Identifier: Apache-2.0
import { formatDiagnostic } from '../config/language/diagnostic.ts';
import { loadFromDisk } from '../config/load-from-disk.ts';
import { ExitCode, parseOptions, UsageError } from '../lib/command-line.ts';

/** `baton check`: prints every problem of a configuration with its place. */
export async function checkCommand(args: readonly string[]): Promise<ExitCode> {
  const options = parseOptions('check', args, {
    file: { type: 'string', short: 'f' },
    'config-id': { type: 'string' },
    json: { type: 'boolean', default: false },
  });
  if (options.file === undefined) throw new UsageError('baton check: name the configuration with -f FILE');
  const loaded = loadFromDisk(options.file, options['config-id']);
  if (loaded.unreadable !== undefined) {
    process.stderr.write(`baton check: ${loaded.unreadable}\n`);
    return ExitCode.usage;
  }
  if (options.json) process.stdout.write(`${JSON.stringify(loaded.diagnostics, undefined, 2)}\n`);
  else for (const diagnostic of loaded.diagnostics) process.stdout.write(`${formatDiagnostic(diagnostic)}\n`);
  return loaded.configuration === undefined ? ExitCode.failed : ExitCode.done;
}
