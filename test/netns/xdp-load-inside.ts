// SPDX-License-Identifier: Apache-2.0
import { loadSettings } from '../../src/engine/xdp/load-settings.ts';
import { loadBpfObject, VerifierError } from '../../src/platform/linux/bpf/load.ts';

// Run as a user with some capabilities and no other privilege: loads baton's object in both ways, reports the outcome.

const limits = { halfOpenMax: 1_024, establishedMax: 4_096 };
const settings = loadSettings(limits, { processors: 2, clockLagNs: 4_000_000, hashSeed: 1n });
try {
  for (const fragments of [true, false]) {
    const began = performance.now();
    loadBpfObject(settings, { fragments }).close();
    const took = Math.round(performance.now() - began);
    console.log(`uid ${process.getuid?.()} loads it ${fragments ? 'with' : 'without'} fragments in ${took} ms`);
  }
} catch (error) {
  console.error(error instanceof VerifierError ? [error.message, ...error.path].join('\n') : error);
  process.exitCode = 1;
}
