// SPDX-License-Identifier: Apache-2.0
// baton beside other programs on this machine, as root:
//   node dist/bench/main.js [portable] [--rounds N] [--only packets|http]
//   node dist/bench/main.js xdp [--rounds N] [--only rates|openings|costs|table|director] [--flows N,N] [--object FILE]
//   node dist/bench/main.js election [--contestants NAME,NAME] [--addresses N] [--interval S] [--seconds N] [--busy N] [--rival N] [--rounds N]
import { fileURLToPath } from 'node:url';
import { enterSandbox } from '../src/drill/lab/sandbox.ts';
import { makeConntrackRoom } from './xdp/conntrack-room.ts';

const insides = { portable: './inside.js', xdp: './xdp/inside.js', election: './election/inside.js' } as const;

if (process.getuid?.() !== 0) {
  process.stderr.write('bench: run it as root: the kernel lets nobody else generate packets\n');
  process.exit(1);
}
const [first, ...rest] = process.argv.slice(2);
const isNamed = first !== undefined && first in insides;
const what = isNamed ? (first as keyof typeof insides) : 'portable';
const args = isNamed ? rest : process.argv.slice(2);
const giveBack = what === 'xdp' ? makeConntrackRoom() : (): void => undefined;
try {
  const inside = fileURLToPath(new URL(insides[what], import.meta.url));
  const sandbox = await enterSandbox(inside, args, { userNamespace: 'none' });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void sandbox.stop());
  process.exitCode = await sandbox.exited;
} finally {
  giveBack();
}
