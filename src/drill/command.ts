// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url';
import { ExitCode } from '../lib/command-line.ts';
import { enterSandbox } from './lab/sandbox.ts';
import { ToolError } from './lab/tool.ts';
import { type DrillOptions, helpText, parseDrillArguments } from './options.ts';

const inside = fileURLToPath(new URL('./inside.js', import.meta.url));
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** `baton drill`: takes the arguments after the command's name, gives the exit code. */
export async function runDrill(argv: readonly string[]): Promise<ExitCode> {
  const command = parseDrillArguments(argv);
  if (command.kind === 'help') {
    process.stdout.write(helpText);
    return ExitCode.done;
  }
  if (command.kind === 'wrong') {
    process.stderr.write(`${command.sentence}\n`);
    return ExitCode.usage;
  }
  try {
    return await drillInSandbox(command.options);
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    process.stderr.write(`baton drill: ${error.message}\n`);
    return ExitCode.failed;
  }
}

async function drillInSandbox(options: DrillOptions): Promise<ExitCode> {
  const prefix = `bt${process.pid.toString(36)}-`;
  const sandbox = await enterSandbox(inside, [JSON.stringify(options), prefix]);
  let interruptedBy: NodeJS.Signals | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    interruptedBy ??= signal;
    process.stderr.write('baton drill: interrupted, the lab is being removed\n');
    void sandbox.stop();
  };
  for (const signal of signals) process.on(signal, stop);
  const code = await sandbox.exited;
  for (const signal of signals) process.off(signal, stop);
  // Ends as the signal would have ended it, so that a calling shell stops as well.
  if (interruptedBy !== undefined) process.kill(process.pid, interruptedBy);
  return code === 0 ? ExitCode.done : ExitCode.failed;
}
