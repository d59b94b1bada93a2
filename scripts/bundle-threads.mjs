// SPDX-License-Identifier: Apache-2.0
// Joins the modules that the engine and sync threads run into one CommonJS file, which V8 makes faster code of, and puts
// a line that loads it in the place of the module that tsc has written (docs/decisions/0007-bundled-threads.md). The
// benchmark of the packet path is joined likewise, to measure what ships.
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

for (const entry of ['src/processes/threads', 'bench/engine-core']) {
  await build({
    entryPoints: [`${entry}.ts`],
    outfile: `dist/${entry}.cjs`,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'cjs',
    target: 'es2023',
    logLevel: 'warning',
  });
  writeFileSync(`dist/${entry}.js`, `export * from './${basename(entry)}.cjs';\n`);
}
