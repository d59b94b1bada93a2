// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

// What a reviewer would otherwise have to say again and again, over all files under version control. Every test names
// all offenders at once, each as `file:line`.

const functionLinesMax = 70;
const fileLinesMax = 400;
/** A table of cases may be long; it reads from top to bottom all the same. */
const testFileLinesMax = 600;
const testFunctionLinesMax = 200;

/** Files that may be longer, or hold a longer function, and why. */
const lengthExceptions: Readonly<Record<string, string>> = {
  'src/engine/xdp/layout/structs.ts': 'generated',
  'src/engine/xdp/layout/field-sizes.ts': 'generated',
};

const bannedNameParts = /^(utils?|helpers?|types?|managers?|handlers?|data|infos?|misc|common)$/;

/** In comments: they say why the code is as it is, in the field's terms, and carry no history. */
const bannedInComments: readonly RegExp[] = [
  /\b(TODO|FIXME|XXX|HACK)\b/,
  /\b(previously|formerly|refactored|as requested)\b/i,
  /\b(now (uses?|returns?|supports?|works?)|(was|were|has been) (changed|fixed|moved|renamed|added))\b/i,
  /\b(issue|task|ticket) #?\d+\b/i,
  /\b(claude|copilot|chatgpt|the brief|subagent)\b/i,
  /\b(frontend|backends?|sticky session|slave)\b/i,
];

/** Code that is told the time and given randomness, so that one seed replays a whole run. */
const simulated = /^(vrrp|sync|src\/(lib|model|wire|scheduler|connection|config|health|director))\//;
const bannedInSimulated =
  /\b(Date\.now|new Date|Math\.random|performance\.now|process\.hrtime|set(Timeout|Interval))\b/;

/** Other words for a predecessor, its successor, the handover record or the grace period, also within an identifier. */
const bannedInSuccession: readonly [RegExp, RegExp][] = [
  [
    /^src\/succession\//,
    /bequ?e(st|ath)|inherit|legac(y|ies)|\bheirs?\b|\bkept|keeping|former|\bstory|\bstories|ticket|yield|resum(e|ing)|takeOver|takes? over/gi,
  ],
  [/^vrrp\//, /bequ?e(st|ath)|inherit|legac(y|ies)/gi],
];
/** What versions say to each other keeps the words that it had in the first one. */
const namesOnTheWire = 'src/succession/wire-names.ts';

const root = repositoryRoot();
const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(root, file)) && statSync(join(root, file)).isFile());
const typescriptFiles = files.filter((file) => file.endsWith('.ts'));

test('file names say what is in them, in kebab-case', () => {
  const offenders = files.filter((file) => {
    if (!/^(src|vrrp|sync|test|bench)\//.test(file)) return false;
    const name = file.split('/').at(-1)!.split('.')[0]!;
    return name.split('-').some((part) => bannedNameParts.test(part)) || /[A-Z_]/.test(name);
  });
  assert.deepEqual(offenders, []);
});

test('every source file says its licence in its first lines', () => {
  const sources = files.filter((file) => /\.([cm]?[jt]s|sh|c|h)$/.test(file) || /^(scripts|\.ci)\/[^.]+$/.test(file));
  const offenders = sources.filter((file) => !/^(#!.*\n)?(\/\/|#|\/\*) SPDX-License-Identifier: \S/.test(read(file)));
  assert.deepEqual(offenders, []);
});

test(`a file has at most ${fileLinesMax} lines, a function at most ${functionLinesMax}`, () => {
  const offenders: string[] = [];
  for (const file of typescriptFiles) {
    if (file in lengthExceptions) continue;
    const source = parse(file);
    const lines = source.getLineStarts().length - 1;
    if (lines > (file.startsWith('test/') ? testFileLinesMax : fileLinesMax)) offenders.push(`${file}: ${lines} lines`);
    const functionMax = file.startsWith('test/') ? testFunctionLinesMax : functionLinesMax;
    for (const node of nodesOf(source)) {
      if (!ts.isFunctionLike(node) || isStory(file, node)) continue;
      const first = lineOf(source, node.getStart(source));
      const length = lineOf(source, node.end) - first + 1;
      if (length > functionMax) offenders.push(`${file}:${first}: a function of ${length} lines`);
    }
  }
  assert.deepEqual(offenders, []);
  assert.deepEqual(
    Object.keys(lengthExceptions).filter((file) => !files.includes(file)),
    [],
    'exceptions for files that are gone',
  );
});

test('comments say why, in the terms of the field, without history', () => {
  const offenders = typescriptFiles.flatMap((file) => {
    if (file.endsWith('tidy.test.ts')) return [];
    const source = parse(file);
    return commentsOf(source).flatMap(({ text, start }) =>
      bannedInComments.flatMap((banned) => {
        const found = banned.exec(text);
        return found === null ? [] : [`${file}:${lineOf(source, start + found.index)}: ${found[0]}`];
      }),
    );
  });
  assert.deepEqual(offenders, []);
});

test('what outlives a director is said in four words: predecessor, successor, handover record, grace period', () => {
  const offenders = files.flatMap((file) => {
    const [, banned] = bannedInSuccession.find(([folder]) => folder.test(file)) ?? [];
    if (banned === undefined || file === namesOnTheWire) return [];
    const text = `${file}\n${read(file)}`;
    return [...text.matchAll(banned)].map(
      (found) => `${file}:${text.slice(0, found.index).split('\n').length - 1}: ${found[0]}`,
    );
  });
  assert.deepEqual(offenders, []);
});

test('what runs in a simulator reads no clock and rolls no dice', () => {
  const offenders = typescriptFiles.flatMap((file) => {
    if (!simulated.test(file)) return [];
    const source = parse(file);
    return nodesOf(source)
      .filter((node) => ts.isCallExpression(node) || ts.isNewExpression(node))
      .filter((node) =>
        bannedInSimulated.test(`${ts.isNewExpression(node) ? 'new ' : ''}${node.expression.getText(source)}`),
      )
      .map((node) => `${file}:${lineOf(source, node.getStart(source))}: ${node.expression.getText(source)}`);
  });
  assert.deepEqual(offenders, []);
});

test('every relative link in the documentation resolves', () => {
  const offenders = files
    .filter((file) => file.endsWith('.md'))
    .flatMap((file) =>
      [...withoutCode(read(file)).matchAll(/\]\(([^)\s]+)[^)]*\)/g)]
        .map((match) => match[1]!)
        .filter((target) => !/^([a-z]+:|#)/i.test(target))
        .filter((target) => !existsSync(join(root, dirname(file), decodeURI(target.split('#')[0]!))))
        .map((target) => `${file}: ${target}`),
    );
  assert.deepEqual(offenders, []);
});

test('no path or package registry of somebody’s machine is committed', () => {
  const personalPath = /(^|[\s"'`=(:])\/(work|home\/[a-z]|Users\/[A-Za-z]|root\/)[^\s"'`)]*/m;
  const offenders = files.flatMap((file) => {
    if (file.endsWith('tidy.test.ts')) return [];
    const text = read(file);
    const path = personalPath.exec(text)?.[0]?.trim();
    const registries = [...text.matchAll(/"resolved": "https?:\/\/([^/"]+)|^(?:@\w+:)?registry *= *(\S+)/gm)]
      .map((match) => match[1] ?? match[2]!)
      .filter((host) => !host.includes('registry.npmjs.org'));
    return [...(path === undefined ? [] : [path]), ...new Set(registries)].map((found) => `${file}: ${found}`);
  });
  assert.deepEqual(offenders, []);
});

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

const parsed = new Map<string, ts.SourceFile>();

function parse(file: string): ts.SourceFile {
  const source = parsed.get(file) ?? ts.createSourceFile(file, read(file), ts.ScriptTarget.ES2023, true);
  parsed.set(file, source);
  return source;
}

function nodesOf(node: ts.Node): ts.Node[] {
  const nodes: ts.Node[] = [node];
  for (let i = 0; i < nodes.length; i += 1) ts.forEachChild(nodes[i]!, (child) => void nodes.push(child));
  return nodes;
}

function lineOf(source: ts.SourceFile, position: number): number {
  return source.getLineAndCharacterOfPosition(position).line + 1;
}

/** The body of a test or of a group of tests: a story or a table, not a function that somebody calls. */
function isStory(file: string, node: ts.Node): boolean {
  if (!file.startsWith('test/') || !ts.isCallExpression(node.parent)) return false;
  return /^(test|describe|suite|it)(\.|$)/.test(node.parent.expression.getText());
}

/** Comments stand before tokens and after the last one on a line; each is found once by where it starts. */
function commentsOf(source: ts.SourceFile): { text: string; start: number }[] {
  const text = source.text;
  const comments = new Map<number, { text: string; start: number }>();
  for (const node of nodesOf(source)) {
    const ranges = [
      ...(ts.getLeadingCommentRanges(text, node.pos) ?? []),
      ...(ts.getTrailingCommentRanges(text, node.end) ?? []),
    ];
    if (ts.isJsxText(node) || ts.isStringLiteralLike(node)) continue;
    for (const { pos, end } of ranges) comments.set(pos, { text: text.slice(pos, end), start: pos });
  }
  return [...comments.values()];
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^```[\s\S]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, '');
}
