// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { toolEnvironment } from '../src/drill/lab/tool.ts';

/** A program that is missing or has failed; the message is a sentence for a person. */
class CommandError extends Error {}

const timeoutMs = 60_000;

/** Runs a program to its end and gives what it printed. */
export function run(program: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      [...args],
      { env: toolEnvironment(), timeout: timeoutMs },
      (error, stdout, said) => {
        if (!error) resolve(stdout);
        else reject(new CommandError(`${[program, ...args].join(' ')} failed: ${said.trim() || error.message}`));
      },
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** Ahead of ordinary processes, for all contestants: other work on the machine is not to be measured. */
const niceness = '-20';

/** The arguments that put a program into a namespace and on a processor, for `nsenter`. */
export function placed(namespace: string, processor: number, command: readonly string[]): string[] {
  return [
    `--net=/run/netns/${namespace}`,
    '--',
    'nice',
    '-n',
    niceness,
    'taskset',
    '-c',
    String(processor),
    ...command,
  ];
}

/** Starts a program in a namespace and on a processor. */
export function start(namespace: string, processor: number, command: readonly string[]): ChildProcess {
  const child = spawn('nsenter', placed(namespace, processor, command), {
    env: toolEnvironment(),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.on('error', (error) => process.stderr.write(`bench: ${command[0]} cannot be started: ${error.message}\n`));
  return child;
}

/** Whether a program can be found, so that what needs it can be left out with that reason. */
export async function isInstalled(program: string): Promise<boolean> {
  return run('which', [program]).then(
    () => true,
    () => false,
  );
}
