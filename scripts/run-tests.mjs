// SPDX-License-Identifier: Apache-2.0
// Runs the built tests of the areas named as arguments, one file at a time: suites in network namespaces measure time
// and would disturb each other.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const files = process.argv.slice(2).flatMap((area) =>
  readdirSync(join('test', area), { recursive: true })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join('dist/test', area, name.replace(/\.ts$/, '.js')))
    .sort(),
);
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', ...files], { stdio: 'inherit' });
process.exit(status ?? 1);
