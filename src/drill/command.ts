// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url';
import { enterSandbox } from './lab/sandbox.ts';
import { ToolError } from './lab/tool.ts';
import { type DrillOptions, helpText, parseDrillArguments } from './options.ts';

const inside = fileURLToPath(new URL('./inside.js', import.meta.url));
/** As a shell reports a command that a signal has ended. */
const signalCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** `baton drill`: takes the arguments after the command's name, gives the exit code. */
export async function runDrill(argv: readonly string[]): Promise<number> {
  const command = parseDrillArguments(argv);
  if (command.kind === 'help') {
    process.stdout.write(helpText);
    return 0;
  }
  if (command.kind === 'wrong') {
    process.stderr.write(`${command.sentence}\n`);
    return 2;
  }
  try {
    return await drillInSandbox(command.options);
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    process.stderr.write(`baton drill: ${error.message}\n`);
    return 1;
  }
}

async function drillInSandbox(options: DrillOptions): Promise<number> {
  const prefix = `bt${process.pid.toString(36)}-`;
  let interrupted: number | undefined;
  const sandbox = await enterSandbox(inside, [JSON.stringify(options), prefix]);
  const stop = (signal: keyof typeof signalCodes): void => {
    interrupted ??= signalCodes[signal];
    process.stderr.write('baton drill: interrupted, the lab is being removed\n');
    void sandbox.stop();
  };
  const signals = Object.keys(signalCodes) as (keyof typeof signalCodes)[];
  for (const signal of signals) process.on(signal, stop);
  try {
    const code = await sandbox.exited;
    return interrupted ?? code;
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}
