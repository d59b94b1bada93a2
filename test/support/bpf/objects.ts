// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

let root = dirname(fileURLToPath(import.meta.url));
while (!existsSync(join(root, 'package-lock.json'))) root = dirname(root);

/** Where package-lock.json stands; tests may have been built anywhere below. */
export const repositoryRoot = root;

/** Compiled from the C beside this file: see scripts/build-bpf.mjs. */
export const fixtureObject = join(root, 'test/support/bpf/fixture.bpf.o');
export const refusedObject = join(root, 'test/support/bpf/refused.bpf.o');
