// SPDX-License-Identifier: Apache-2.0
// The headers in C that are generated from a module in TypeScript.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadTypescript } from './load-typescript.mjs';

const headers = 'src/engine/xdp/bpf';

/**
 * Writes `header` from the module `name` in `folder`. `textOf` gives its text from the module's exports and the path of
 * the module. With the argument --check nothing is written; the process fails when the header is not of this text.
 */
export async function generateHeader({ header, folder, name, textOf }) {
  process.chdir(fileURLToPath(new URL('..', import.meta.url)));
  const path = join(headers, header);
  const source = `${folder}/${name}.ts`;
  const text = textOf(await loadTypescript(folder, [name]), source);
  if (process.argv[2] !== '--check') writeFileSync(path, text);
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    console.error(`${path} is not what ${source} gives.\nRun: npm run generate`);
    process.exit(1);
  }
}

/** `ttlExceeded` and `ttl-exceeded` are TTL_EXCEEDED. */
export function constantName(name) {
  return name
    .replaceAll('-', '_')
    .replace(/[A-Z]/g, (letter) => `_${letter}`)
    .toUpperCase();
}

/** Rows are pairs of name and value. */
export function enumText(name, rows) {
  return `enum ${name} {\n${rows.map(([key, value]) => `\t${key} = ${value},\n`).join('')}};`;
}
