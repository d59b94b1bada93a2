// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { errorSentence } from '../../lib/error-sentence.ts';
import { runTool, spawnTool, type Tool, ToolError } from './tool.ts';

/**
 * The sandbox's user namespace. `none` is for root, `mapped` maps the caller to root inside.
 */
export type UserNamespace = 'none' | 'mapped';

export interface Sandbox {
  /** The outermost process, in the caller's namespaces. */
  readonly process: ChildProcess;
  /** Ends everything inside. Resolves when the kernel has taken the last process away. */
  stop(): Promise<void>;
  /** The exit code of the entry; 1 when a signal ended it. */
  readonly exited: Promise<number>;
}

export interface SandboxOptions {
  readonly stdio?: 'inherit' | 'pipe';
  readonly userNamespace?: UserNamespace;
}

const stopGraceMs = 3_000;

// Everything that the lab makes lives in namespaces that nothing outside refers to: network namespaces are pinned in
// a tmpfs of a mount namespace of their own, and every process is in one PID namespace. When its first process ends,
// for whatever reason, the kernel kills the others and frees all the rest. So nothing can be left behind, not even
// after kill -9, and there is nothing to tidy up at the next start.
const namespaceArguments = [
  '--mount',
  '--net',
  '--pid',
  '--fork',
  '--kill-child=KILL',
  '--mount-proc',
  '--propagation',
  'private',
];

/** Runs a Node.js module as the first process of a new set of namespaces, with an IPC channel. */
export async function enterSandbox(
  entry: string,
  args: readonly string[],
  options: SandboxOptions = {},
): Promise<Sandbox> {
  const userNamespace = options.userNamespace ?? (await chooseUserNamespace());
  const stdio = options.stdio ?? 'inherit';
  const command = [
    // The sandbox dies with this process. Its first process also watches the channel, for the short time before
    // setpriv has armed the signal.
    ...['--pdeathsig', 'KILL', 'unshare', ...userArguments(userNamespace), ...namespaceArguments],
    ...[process.execPath, entry, ...args],
  ];
  const child = spawnTool('setpriv', command, { stdio: ['ignore', stdio, stdio, 'ipc'], serialization: 'advanced' });
  const exited = new Promise<number>((resolve, reject) => {
    child.once('error', (error) => reject(new ToolError(`the sandbox cannot be started: ${error.message}`)));
    child.once('exit', (code) => resolve(code ?? 1));
  });
  return { process: child, exited, stop: () => stopSandbox(child) };
}

/** To be called first by an entry: without its parent it has nothing to do, and its end is the end of the sandbox. */
export function leaveWithParent(): void {
  process.once('disconnect', () => process.exit(1));
  process.on('message', (message) => {
    if (message === 'stop') process.exit(1);
  });
}

async function stopSandbox(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  if (child.connected) child.send('stop', () => {});
  const timer = setTimeout(() => child.kill('SIGKILL'), stopGraceMs);
  await gone;
  clearTimeout(timer);
}

/** Root uses namespaces directly where it may; everybody else, and root in a container, maps itself to root. */
async function chooseUserNamespace(): Promise<UserNamespace> {
  const attempts: UserNamespace[] = process.getuid?.() === 0 ? ['none', 'mapped'] : ['mapped'];
  for (const tool of ['setpriv', 'nsenter', 'ip', 'mount', 'tee'] satisfies Tool[]) {
    await runTool(tool, [tool === 'ip' ? '-V' : '--version']);
  }
  let reason = '';
  for (const attempt of attempts) {
    try {
      await runTool('unshare', [...userArguments(attempt), ...namespaceArguments, 'ip', 'link']);
      return attempt;
    } catch (error) {
      if (error instanceof ToolError && error.message.startsWith('the drill needs')) throw error;
      reason = errorSentence(error);
    }
  }
  throw new ToolError(
    'the drill cannot make namespaces here; run it as root, or allow unprivileged user namespaces ' +
      `(sysctl kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0): ${reason}`,
  );
}

function userArguments(userNamespace: UserNamespace): string[] {
  return userNamespace === 'mapped' ? ['--user', '--map-root-user'] : [];
}
