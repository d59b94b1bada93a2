// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process';

/** A tool of the system that the lab is built with, or one that failed; the message is a sentence for a person. */
export class ToolError extends Error {}

export type Tool = 'ip' | 'unshare' | 'nsenter' | 'setpriv' | 'mount' | 'tee' | 'ethtool' | 'nft';

/** Debian's package of each tool. */
const packageOf: Readonly<Record<Tool, string>> = {
  ip: 'iproute2',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  mount: 'mount',
  tee: 'coreutils',
  ethtool: 'ethtool',
  nft: 'nftables',
};
const timeoutMs = 20_000;

/** The environment for tools: /sbin is often not in an unprivileged user's PATH. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`, LC_ALL: 'C' };
}

/** Runs a tool to its end and gives its standard output. Throws a `ToolError` when it is missing or fails. */
export function runTool(tool: Tool, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env: toolEnvironment(), timeout: timeoutMs };
    const child = execFile(tool, [...args], options, (error, stdout, stderr) => {
      if (!error) resolve(stdout);
      else reject(explain(tool, args, error, stderr));
    });
    // A tool that dies early closes its input; its exit code and message say more than EPIPE does.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** Starts a long-running program through a tool. A missing tool arrives as an `error` event with a sentence. */
export function spawnTool(tool: Tool, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn(tool, [...args], { ...options, env: { ...toolEnvironment(), ...options.env } });
}

/** The sentence about a tool that could not be started or failed. */
function explain(tool: Tool, args: readonly string[], error: Error, stderr: string): ToolError {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return missingTool(tool);
  const said = stderr.trim().split('\n').join('; ');
  return new ToolError(`${[tool, ...args].join(' ')} failed: ${said === '' ? error.message : said}`);
}

function missingTool(tool: Tool): ToolError {
  return new ToolError(`the drill needs the program ${tool}; install Debian's package ${packageOf[tool]}`);
}
