// SPDX-License-Identifier: Apache-2.0
// Writes src/engine/xdp/layout from the types (BTF) of the BPF object: where TypeScript finds what the C put where.
//
//   node scripts/generate-layouts.mjs                  writes
//   node scripts/generate-layouts.mjs --check          says which file is not what the object gives
//   node scripts/generate-layouts.mjs --print OBJECT   prints the files of another object
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadTypescript } from './load-typescript.mjs';

const shipped = 'src/engine/xdp/bpf/baton.bpf.o';
const folder = 'src/engine/xdp/layout';
/** The loader's own parser, so that both read the same. */
const parserFolder = 'src/platform/linux/bpf';
/**
 * A struct with this declaration tag has a layout although no map holds it: __attribute__((btf_decl_tag("layout"))).
 */
const layoutTag = 'layout';
/** Fields of these names fill a gap; nobody reads them. */
const filler = /^(reserved|pad|padding)\d*$/;

const caller = process.cwd();
process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const { parseObjectFile, resolveType, sizeOf } = await loadTypescript(parserFolder, ['elf', 'btf', 'object-file']);

const [option, argument] = process.argv.slice(2);
if (option === '--print') {
  for (const [name, text] of layoutFiles(readFileSync(join(caller, argument)))) console.log(`=== ${name}\n${text}`);
} else if (!existsSync(shipped)) {
  fail(`${shipped} is missing; run: npm run generate`);
} else {
  const files = layoutFiles(readFileSync(shipped));
  if (option === '--check') check(files);
  else write(files);
}

function write(files) {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) if (!files.has(name)) rmSync(join(folder, name));
  for (const [name, text] of files) writeFileSync(join(folder, name), text);
}

function check(files) {
  const present = existsSync(folder) ? readdirSync(folder) : [];
  const stale = [...new Set([...present, ...files.keys()])].filter((name) => {
    const path = join(folder, name);
    return !files.has(name) || !existsSync(path) || readFileSync(path, 'utf8') !== files.get(name);
  });
  const listed = stale.map((name) => `${join(folder, name)} is not what ${shipped} gives.`);
  if (stale.length > 0) fail(`${listed.join('\n')}\nRun: npm run generate`);
}

/** The text of every file by its name. */
function layoutFiles(bytes) {
  const object = parseObjectFile(bytes);
  const { types } = object;
  const maps = sorted(object.maps);
  const globals = sorted(object.globals);
  const structs = sorted(structsOf(object)).map((struct) => ({
    name: struct.name,
    size: struct.size,
    fields: fieldsOf(types, struct, struct.name, 0),
  }));
  const enums = sorted(types.filter(({ kind, name }) => kind.startsWith('enum') && name !== ''));
  return new Map([
    ['structs.ts', file(structs.map(structText))],
    ['field-sizes.ts', file(structs.map(sizesText))],
    ['enums.ts', file(enums.map(enumText))],
    ['maps.ts', file([mapsText(maps), globalsText(globals), constantsText(sorted(object.constants))])],
    ['fingerprint.ts', file([fingerprintText(fingerprintOf(types, maps, globals, structs, enums))])],
  ]);
}

/** The types of keys, values and globals, the types these consist of, and the tagged ones. */
function structsOf({ types, maps, globals }) {
  const found = new Set();
  const visit = (typeId) => {
    if (typeId === 0) return;
    const type = resolveType(types, typeId);
    if (type.kind === 'array') visit(type.typeId);
    if ((type.kind !== 'struct' && type.kind !== 'union') || found.has(type)) return;
    found.add(type);
    for (const member of type.members) visit(member.typeId);
  };
  for (const { keyTypeId, valueTypeId } of maps) [keyTypeId, valueTypeId].forEach(visit);
  for (const { typeId } of globals) visit(typeId);
  for (const { kind, name, typeId, component } of types) {
    if (kind === 'declarationTag' && name === layoutTag && component === -1) visit(typeId);
  }
  return [...found].filter(({ name }) => name !== '');
}

/** Name, offset, size and kind of every field; those of anonymous members stand among their parent's, as in C. */
function fieldsOf(types, struct, structName, base) {
  return struct.members.flatMap((member) => {
    const type = resolveType(types, member.typeId);
    const offset = base + member.bitOffset / 8;
    if (member.name === '') return fieldsOf(types, type, structName, offset);
    // It has no byte offset: those of the kernel's headers stay out.
    if (member.bitSize > 0) return [];
    if (member.name === 'size') fail(`struct ${structName}: a field cannot be called size; layouts use that name.`);
    return [{ name: member.name, offset, size: sizeOf(types, member.typeId), kind: kindOf(types, type) }];
  });
}

function kindOf(types, type) {
  if (type.kind === 'array') return `${kindOf(types, resolveType(types, type.typeId))}[${type.count}]`;
  return `${type.kind} ${type.name}`.trim();
}

function structText({ name, size, fields }) {
  const rows = readable(fields).map((field) => [camelCase(field.name), field.offset]);
  const layout = objectText(`${pascalCase(name)}Layout`, [['size', size], ...rows]);
  return `/** Byte offsets of the fields of \`struct ${name}\`, and its size. */\n${layout}`;
}

function sizesText({ name, fields }) {
  const rows = readable(fields).map((field) => [camelCase(field.name), field.size]);
  return `/** Bytes of the fields of \`struct ${name}\`. */\n${objectText(`${pascalCase(name)}FieldSize`, rows)}`;
}

function readable(fields) {
  return fields.filter((field) => !filler.test(field.name));
}

function enumText({ name, enumerators }) {
  const keys = enumeratorKeys(
    name,
    enumerators.map((enumerator) => enumerator.name),
  );
  const rows = enumerators.map(({ value }, i) => [keys[i], literal(value)]);
  return `/** \`enum ${name}\` */\n${objectText(pascalCase(name), rows)}`;
}

/** Without the enum's name in front, or the first word, where all have it: DROP_TTL_EXCEEDED is `ttlExceeded`. */
function enumeratorKeys(enumName, names) {
  const firstWord = names[0].split('_')[0];
  const prefixes = [`${enumName.toUpperCase()}_`, `${firstWord}_`];
  const prefix = prefixes.find((candidate) => names.every((name) => name.toUpperCase().startsWith(candidate))) ?? '';
  return names.map((name) => camelCase(name.slice(prefix.length).toLowerCase()));
}

function mapsText(maps) {
  const rows = maps.map((map) => [
    camelCase(map.name),
    recordText([
      ['name', quoted(map.name)],
      ['kind', quoted(map.kind)],
      ['keySize', map.keySize],
      ['valueSize', map.valueSize],
      ['maxEntries', map.maxEntries],
    ]),
  ]);
  return `/** Maps as the source has them; \`maxEntries\` is what the loader may change. */\n${objectText('Maps', rows)}`;
}

function globalsText(globals) {
  const rows = globals.map((global) => [
    camelCase(global.name),
    recordText([
      ['map', quoted(global.section)],
      ['offset', global.offset],
      ['size', global.size],
    ]),
  ]);
  return `/** Globals that programs write: the map, which has one value, and the place in it. */\n${objectText('Globals', rows)}`;
}

function constantsText(constants) {
  const rows = constants.map(({ name }) => [camelCase(name), quoted(name)]);
  return `/** Names of the \`const volatile\` globals, which are given values before the program is loaded. */\n${objectText('Constants', rows)}`;
}

function fingerprintText(fingerprint) {
  return `/** Of maps, structs, enums and globals: a running program with another one cannot be gone on with. */
export const layoutFingerprint = ${quoted(fingerprint)};`;
}

/** Sizes that the loader chooses are not in it. */
function fingerprintOf(types, maps, globals, structs, enums) {
  const parts = {
    maps: maps.map(({ name, kind, keySize, valueSize, flags }) => [name, kind, keySize, valueSize, flags]),
    globals: globals.map(({ name, section, offset, size, typeId }) => {
      return [name, section, offset, size, kindOf(types, resolveType(types, typeId))];
    }),
    structs: structs.map(({ name, size, fields }) => [name, size, fields.map(Object.values)]),
    enums: enums.map(({ name, enumerators }) => [name, enumerators.map((one) => [one.name, String(one.value)])]),
  };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}

function file(parts) {
  const head = `// SPDX-License-Identifier: Apache-2.0\n// Generated by npm run generate from ${shipped}.\n`;
  return `${[head, ...parts.map((part) => `${part}\n`)].join('\n')}`;
}

/** Rows as Biome wants them: an object that begins with a line break stays broken. */
function objectText(name, rows) {
  const twice = rows.map(([key]) => key).find((key, i, keys) => keys.indexOf(key) !== i);
  if (twice !== undefined) fail(`${name} would have two members ${twice}; rename one in the C.`);
  if (rows.length === 0) return `export const ${name} = {} as const;`;
  return `export const ${name} = {\n${rows.map(([key, value]) => `  ${key}: ${value},\n`).join('')}} as const;`;
}

function recordText(rows) {
  return `{\n${rows.map(([key, value]) => `    ${key}: ${value},\n`).join('')}  }`;
}

function quoted(text) {
  return `'${text}'`;
}

function literal(value) {
  return BigInt.asIntN(53, value) === value || BigInt.asUintN(53, value) === value ? String(value) : `${value}n`;
}

function sorted(list) {
  return [...list].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function camelCase(name) {
  return name.replace(/_+(\w)/g, (_, letter) => letter.toUpperCase());
}

function pascalCase(name) {
  const camel = camelCase(name);
  return camel[0].toUpperCase() + camel.slice(1);
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}
