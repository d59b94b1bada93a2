// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';

const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;

/** The thread of a process with this name, or the main thread. */
export function threadOf(processId: number, name: string | undefined): number {
  if (name === undefined) return processId;
  const found = readdirSync(`/proc/${processId}/task`).find(
    (thread) => readFileSync(`/proc/${processId}/task/${thread}/comm`, 'utf8').trim() === name,
  );
  if (found === undefined) throw new Error(`process ${processId} has no thread ${name}`);
  return Number(found);
}

/**
 * Stops one thread alone, as no signal can, until the function that it gives is called. A process of its own traces the thread:
 * a parent would take the stop of its child for its end. When the tracer ends, the thread goes on.
 */
export async function stopThread(thread: number): Promise<() => void> {
  const tracer = spawn(process.execPath, [fileURLToPath(import.meta.url), String(thread)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(tracer.stdout, 'data');
  return () => void tracer.kill('SIGKILL');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const ptrace = koffi.load(null).func('long ptrace(long request, int thread, intptr_t address, intptr_t options)');
  const thread = Number(process.argv[2]);
  if (ptrace(PTRACE_SEIZE, thread, 0, 0) !== 0) throw new Error(`thread ${thread} cannot be traced`);
  ptrace(PTRACE_INTERRUPT, thread, 0, 0);
  console.log('stopped');
  setInterval(() => undefined, 1_000);
}
