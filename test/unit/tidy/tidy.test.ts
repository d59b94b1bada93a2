// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

// The remarks that a reviewer would otherwise repeat, checked in all files under version control. Every test names all
// offenders at once, each as `file:line`.

// The bounds and their reasons stand in CONTRIBUTING.md.
const functionLinesMax = 70;
const fileLinesMax = 400;
const parametersMax = 5;
/** A table of cases may be long; it reads from top to bottom all the same. */
const testFileLinesMax = 600;
const testFunctionLinesMax = 200;

/** The words before a longer function, or among the first lines of a longer file; the reason follows them. */
const lengthReason = /\bLonger than the bound: \S.{10,}/;
const generated = /^src\/engine\/xdp\/layout\//;

/** Where a call for each packet must not allocate an object for its arguments. */
const packetPath = /^src\/(engine\/portable|wire|platform\/linux\/packet)\//;
/** Signatures that are somebody else's. */
const foreignSignatures: readonly string[] = ['mmap'];

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

/** Code that takes time and randomness as arguments, so that one seed replays a whole run. */
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
/** Messages between versions keep the words of the first version. */
const namesOnTheWire = 'src/succession/wire-names.ts';

const root = repositoryRoot();
const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(root, file)) && statSync(join(root, file)).isFile());
const typescriptFiles = files.filter((file) => file.endsWith('.ts'));
const cFiles = files.filter((file) => /\.[ch]$/.test(file));

test('file names say what is in them, in kebab-case', () => {
  const offenders = files.filter((file) => {
    if (!/^(src|vrrp|sync|test|bench)\//.test(file) || file.endsWith('/README.md')) return false;
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

test(`a file has at most ${fileLinesMax} lines, a function at most ${functionLinesMax}, or says why not`, () => {
  const offenders: string[] = [];
  for (const file of typescriptFiles) {
    if (generated.test(file)) continue;
    const source = parse(file);
    const isTest = file.startsWith('test/');
    judgeFileLength(file, isTest ? testFileLinesMax : fileLinesMax, offenders);
    const functionMax = isTest ? testFunctionLinesMax : functionLinesMax;
    for (const node of nodesOf(source)) {
      if (!ts.isFunctionLike(node) || isStory(file, node)) continue;
      const first = lineOf(source, node.getStart(source));
      const length = lineOf(source, node.end) - first + 1;
      if (length <= functionMax || lengthReason.test(node.getFullText(source))) continue;
      offenders.push(`${file}:${first}: a function of ${length} lines`);
    }
  }
  for (const file of cFiles) {
    judgeFileLength(file, fileLinesMax, offenders);
    for (const { line, length, comment } of cFunctionsOf(read(file))) {
      if (length <= functionLinesMax || lengthReason.test(comment)) continue;
      offenders.push(`${file}:${line}: a function of ${length} lines`);
    }
  }
  assert.deepEqual(offenders, []);
});

test(`a function has at most ${parametersMax} parameters: what needs more takes an object`, () => {
  const offenders = typescriptFiles.flatMap((file) => {
    if (file.startsWith('test/')) return [];
    const source = parse(file);
    return nodesOf(source).flatMap((node) => {
      if (!ts.isFunctionLike(node) || node.parameters.length <= parametersMax) return [];
      if (packetPath.test(file) && !ts.isConstructorDeclaration(node)) return [];
      const name = node.name?.getText(source) ?? 'a function';
      if (foreignSignatures.includes(name)) return [];
      return [`${file}:${lineOf(source, node.getStart(source))}: ${name} has ${node.parameters.length}`];
    });
  });
  assert.deepEqual(offenders, []);
});

test('no object literal is spread into another to save lines', () => {
  const offenders = typescriptFiles.flatMap((file) => {
    const source = parse(file);
    return nodesOf(source)
      .filter((node) => ts.isSpreadAssignment(node) && ts.isObjectLiteralExpression(node.expression))
      .map((node) => `${file}:${lineOf(source, node.getStart(source))}`);
  });
  assert.deepEqual(offenders, []);
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

test('what a file exports, another file imports, or an exported signature speaks of', () => {
  const imported = new Set(typescriptFiles.flatMap(importsOf));
  const offenders = typescriptFiles.flatMap((file) => {
    // All that the C has is generated, whether it is needed or not.
    if (file.startsWith('src/engine/xdp/layout/') || imported.has(`${file} *`)) return [];
    const exports = exportsOf(parse(file));
    return exports
      .filter(({ name }) => !imported.has(`${file} ${name}`))
      .filter(
        (dead) => !isType(dead.node) || !exports.some(({ node }) => node !== dead.node && speaksOf(node, dead.name)),
      )
      .map(({ name }) => `${file}: ${name}`);
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

test('every path that the documentation names exists', () => {
  const path = /^(?:src|vrrp|sync|test|config|docs|scripts|bench)\/[\w./-]+$/;
  const shorthand = /NAME|\*/;
  const offenders = files
    .filter((file) => file.endsWith('.md') && file !== 'CHANGELOG.md')
    .flatMap((file) =>
      [...read(file).matchAll(/`([^`\n]+)`/g)]
        .map((match) => match[1]!)
        .filter((named) => path.test(named) && !shorthand.test(named))
        .filter((named) => !existsSync(join(root, named)))
        .map((named) => `${file}: ${named}`),
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

interface Export {
  readonly name: string;
  /** The statement that declares it. */
  readonly node: ts.Statement;
}

/** The names that a file itself declares and exports. */
function exportsOf(source: ts.SourceFile): Export[] {
  return source.statements.flatMap((node): Export[] => {
    if (!ts.canHaveModifiers(node)) return [];
    if (!ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) return [];
    if (ts.isVariableStatement(node)) {
      return node.declarationList.declarations.map(({ name }) => ({ name: name.getText(source), node }));
    }
    const { name } = node as ts.DeclarationStatement;
    return name === undefined ? [] : [{ name: name.getText(source), node }];
  });
}

function isType(node: ts.Node): boolean {
  return ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node);
}

/** True when a declaration has the name in its signature: a caller may need the word for what it takes or gives. */
function speaksOf(node: ts.Node, name: string): boolean {
  if (ts.isBlock(node)) return false;
  if (ts.isIdentifier(node) && node.text === name) return true;
  return ts.forEachChild(node, (child) => speaksOf(child, name) || undefined) ?? false;
}

/** `FILE NAME` of all that a file imports from others, `FILE *` where it takes whatever there is. */
function importsOf(file: string): string[] {
  const namesFrom = (specifier: ts.Node | undefined, names: readonly string[]): string[] => {
    if (specifier === undefined || !ts.isStringLiteral(specifier) || !specifier.text.startsWith('.')) return [];
    const from = join(dirname(file), specifier.text);
    return names.map((name) => `${from} ${name}`);
  };
  return nodesOf(parse(file)).flatMap((node) => {
    if (ts.isImportDeclaration(node)) {
      const named = node.importClause?.namedBindings;
      if (named === undefined) return [];
      const names = ts.isNamespaceImport(named)
        ? ['*']
        : named.elements.map((each) => (each.propertyName ?? each.name).text);
      return namesFrom(node.moduleSpecifier, names);
    }
    if (ts.isExportDeclaration(node)) {
      const clause = node.exportClause;
      const named = clause !== undefined && ts.isNamedExports(clause) ? clause.elements : undefined;
      return namesFrom(node.moduleSpecifier, named?.map((each) => (each.propertyName ?? each.name).text) ?? ['*']);
    }
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      return namesFrom(node.argument.literal, [node.qualifier?.getText().split('.')[0] ?? '*']);
    }
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      return namesFrom(node.arguments[0], namesTaken(node));
    }
    return [];
  });
}

/** From `(await import(…)).name` or `const { name } = await import(…)`. */
function namesTaken(call: ts.CallExpression): string[] {
  const awaited = call.parent;
  if (!ts.isAwaitExpression(awaited)) return ['*'];
  const { parent } = awaited;
  if (ts.isVariableDeclaration(parent) && ts.isObjectBindingPattern(parent.name)) {
    return parent.name.elements.map(({ propertyName, name }) => (propertyName ?? name).getText());
  }
  if (ts.isParenthesizedExpression(parent) && ts.isPropertyAccessExpression(parent.parent)) {
    return [parent.parent.name.text];
  }
  return ['*'];
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

function judgeFileLength(file: string, linesMax: number, offenders: string[]): void {
  const lines = read(file).split('\n');
  const reason = lengthReason.test(lines.slice(0, 12).join('\n'));
  if (lines.length - 1 > linesMax && !reason) offenders.push(`${file}: ${lines.length - 1} lines`);
}

/** Functions of C as the formatter lays them out: the name begins a line, and so does the brace that ends the body. */
function cFunctionsOf(text: string): { line: number; length: number; comment: string }[] {
  const found: { line: number; length: number; comment: string }[] = [];
  const lines = text.split('\n');
  let first: number | undefined;
  for (const [index, line] of lines.entries()) {
    if (/^[a-z_].*\(.*[^;]$/i.test(line)) first = index;
    if (!line.startsWith('}') || first === undefined) continue;
    const comment = lines.slice(Math.max(0, first - 8), first).join('\n');
    found.push({ line: first + 1, length: index - first + 1, comment: comment.slice(comment.lastIndexOf('/*')) });
    first = undefined;
  }
  return found;
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^```[\s\S]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, '');
}
