#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url';
import { isMainThread, workerData } from 'node:worker_threads';
import { helpText } from './cli/help.ts';
import { ExitCode, UsageError } from './lib/command-line.ts';
import { errorSentence } from './lib/error-sentence.ts';

// The only executable. The daemon starts this file again for its child process and its threads. Every part is imported
// only where it runs: the vrrp process loads no engine, and a command loads no packet socket.

const script = fileURLToPath(import.meta.url);

const commands: Readonly<Record<string, (args: readonly string[]) => Promise<ExitCode>>> = {
  run: async (args) => (await import('./processes/run.ts')).runCommand(args, script),
  check: async (args) => (await import('./cli/check.ts')).checkCommand(args),
  status: async (args) => (await import('./cli/status.ts')).statusCommand(args),
  connections: async (args) => (await import('./cli/connections.ts')).connectionsCommand(args),
  failover: async (args) => (await import('./cli/failover.ts')).failoverCommand(args),
  drill: async (args) => (await import('./drill/command.ts')).runDrill(args),
};

async function main(): Promise<void> {
  if (!isMainThread) {
    const { runThread } = await import('./processes/threads.ts');
    return runThread(workerData);
  }
  const [name = '--help', ...args] = process.argv.slice(2);
  if (name === 'vrrp-process' && process.send !== undefined) {
    const { runVrrpProcess } = await import('./processes/vrrp/process.ts');
    return runVrrpProcess();
  }
  process.exitCode = await runCommand(name, args);
}

async function runCommand(name: string, args: readonly string[]): Promise<ExitCode> {
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(helpText);
    return ExitCode.done;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  try {
    if (command === undefined) throw new UsageError(`baton: there is no command ${name}; see baton --help`);
    return await command(args);
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`${error.message}\n`);
      return ExitCode.usage;
    }
    process.stderr.write(`baton ${name}: ${errorSentence(error)}\n`);
    return ExitCode.failed;
  }
}

await main();
