// SPDX-License-Identifier: Apache-2.0
// baton beside other balancers on this machine, as root: node dist/bench/main.js [--rounds N] [--only packets|http]
import { fileURLToPath } from 'node:url';
import { enterSandbox } from '../src/drill/lab/sandbox.ts';

const inside = fileURLToPath(new URL('./inside.js', import.meta.url));

if (process.getuid?.() !== 0) {
  process.stderr.write('bench: run it as root: the kernel lets nobody else generate packets\n');
  process.exit(1);
}
const sandbox = await enterSandbox(inside, process.argv.slice(2), { userNamespace: 'none' });
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void sandbox.stop());
process.exitCode = await sandbox.exited;
