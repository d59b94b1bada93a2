// SPDX-License-Identifier: Apache-2.0
// Modules of the sources for the scripts that generate others from them: what is built may be of yesterday.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';

const built = '.build/generate';

/** The exports of `folder`'s modules of these names, in one object. They may import each other, and no package of ours. */
export async function loadTypescript(folder, names) {
  mkdirSync(built, { recursive: true });
  for (const name of names) {
    const source = readFileSync(join(folder, `${name}.ts`), 'utf8');
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { target: 'es2023', module: 'esnext', rewriteRelativeImportExtensions: true },
    });
    writeFileSync(join(built, `${name}.js`), outputText);
  }
  const modules = await Promise.all(names.map((name) => import(pathToFileURL(join(built, `${name}.js`)).href)));
  return Object.assign({}, ...modules);
}
