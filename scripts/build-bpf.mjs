// SPDX-License-Identifier: Apache-2.0
// Compiles the BPF programs. The objects are under version control and in the package, so that only those who change
// the C need a compiler.
//
//   node scripts/build-bpf.mjs              compiles, and writes a record of sources and compiler beside each object
//   node scripts/build-bpf.mjs --check      says which object is not what its sources give; compiles only where the
//                                           compiler is the recorded one
//   node scripts/build-bpf.mjs --into DIR   copies the shipped object beside the JavaScript that was built into DIR
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stackFaults } from './check-bpf-stack.mjs';

const shipped = 'src/engine/xdp/bpf/baton.bpf.o';
const packages = '--no-install-recommends clang llvm libbpf-dev';
/** Objects that tests load lie in a folder of their own. */
const testObjects = 'test/support/bpf';
// A switch over an enum names every one of its values and has no default, so that a new value is not overlooked.
const warnings = '-Wall -Wextra -Wno-unused-parameter -Wswitch-enum -Wcovered-switch-default -Werror';
const flags = `-O2 -g -target bpf -mcpu=v3 ${warnings} -fdebug-compilation-dir=.`;

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const objects = [
  ...readdirSync(testObjects)
    .filter((name) => name.endsWith('.bpf.c'))
    .map((name) => join(testObjects, name.replace(/\.c$/, '.o'))),
  ...[shipped].filter((object) => existsSync(sourceOf(object))),
];

const [option, target] = process.argv.slice(2);
if (option === '--check') check();
else if (option === '--into' && target !== undefined) copyInto(target);
else if (option === undefined) build();
else fail('what build-bpf.mjs takes is --check, --into DIR or nothing');

function build() {
  const compiler = compilerVersion();
  if (compiler === undefined || stripProgram() === undefined) {
    const missing = compiler === undefined ? 'clang' : 'llvm-strip';
    fail(`${missing} is not installed; install it, for example: apt-get install ${packages}`);
  }
  for (const object of objects) {
    const bytes = compile(object);
    // In one step, so that a process that loads it meanwhile gets the old object or this one.
    writeFileSync(`${object}.part`, bytes);
    const faults = stackFaults(`${object}.part`) ?? [];
    if (faults.length > 0) fail(`${object} is too deep for the oldest kernel that it is for:\n${faults.join('\n')}`);
    renameSync(`${object}.part`, object);
    const sources = Object.fromEntries(dependencies(object).map((source) => [source, sha256(readFileSync(source))]));
    const record = { compiler, flags, object: sha256(bytes), sources };
    writeFileSync(recordOf(object), `${JSON.stringify(record, null, 2)}\n`);
    console.log(`${object}: ${bytes.length} bytes`);
  }
}

function check() {
  const compiler = compilerVersion();
  const stale = objects.flatMap((object) => staleness(object, compiler) ?? []);
  const faults = objects.filter((object) => existsSync(object)).flatMap((object) => stackFaults(object) ?? []);
  if (faults.length > 0) fail(faults.join('\n'));
  if (stale.length > 0) fail(`${stale.join('\n')}\nRun: npm run generate`);
}

/** A sentence; undefined when the object is what its sources give. */
function staleness(object, compiler) {
  if (!existsSync(object) || !existsSync(recordOf(object))) return `${object} or its record is missing.`;
  const record = JSON.parse(readFileSync(recordOf(object), 'utf8'));
  const bytes = readFileSync(object);
  if (sha256(bytes) !== record.object) return `${object} is not the one that its record describes.`;
  const different = Object.entries(record.sources)
    .filter(([source, digest]) => !existsSync(source) || sha256(readFileSync(source)) !== digest)
    .map(([source]) => source);
  if (different.length > 0) return `${object} is older than ${different.join(', ')}.`;
  if (record.flags !== flags) return `${object} was built with other flags.`;
  if (record.compiler === compiler && canCompile() && !bytes.equals(compile(object))) {
    return `${object} is not what ${compiler} makes of its sources.`;
  }
  return undefined;
}

function copyInto(directory) {
  if (!existsSync(shipped)) fail(`${shipped} is missing; run: npm run generate`);
  const copy = join(directory, shipped);
  mkdirSync(dirname(copy), { recursive: true });
  copyFileSync(shipped, copy);
}

/**
 * The translation unit: the source, followed by one constant whose members are all enums of the project and the structs
 * that ask for a layout. BTF describes only the types of globals and functions: an enumerator in an expression is an
 * int, and local variables are left out.
 */
function unitOf(object) {
  const texts = dependencies(object).map((source) => readFileSync(source, 'utf8'));
  const names = (pattern) => texts.flatMap((text) => [...text.matchAll(pattern)].map((match) => match[1])).sort();
  const enums = names(/^enum (\w+) \{/gm).map((name) => `enum ${name} ${name};`);
  const tagged = names(/^struct (\w+) \{(?:\n[^}].*)*\n\} __attribute__\(\(btf_decl_tag\("layout"\)\)\);/gm);
  const members = [...enums, ...tagged.map((name) => `struct ${name} ${name}[0];`)];
  const vocabulary = enums.length === 0 ? '' : `const volatile struct { ${members.join(' ')} } vocabulary;\n`;
  return `#include "${sourceOf(object)}"\n${vocabulary}`;
}

/** The object's bytes, without DWARF: BTF has what the kernel and the layouts need. */
function compile(object) {
  const directory = mkdtempSync(join(ensured('.build'), 'bpf-'));
  const output = join(directory, 'object.o');
  try {
    // Through standard input: the path of a file of ours would get into the object.
    const parameters = [...flags.split(' '), ...includes(), '-I.', '-x', 'c', '-c', '-', '-o', output];
    run('clang', parameters, unitOf(object));
    run(stripProgram(), ['-g', output]);
    return readFileSync(output);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The source and the headers of the project that it includes. */
function dependencies(object) {
  const rule = execFileSync('clang', [...flags.split(' '), ...includes(), '-MM', sourceOf(object)], {
    encoding: 'utf8',
  });
  return rule
    .replace(/^[^:]*:/, '')
    .split(/[\s\\]+/)
    .filter((name) => name !== '')
    .sort();
}

/** Debian has asm/types.h, which linux/types.h includes, in a folder of the architecture. */
function includes() {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const folder = `/usr/include/${machine}-linux-gnu`;
  return existsSync(folder) ? ['-isystem', folder] : [];
}

/** "Debian clang version 14.0.6"; undefined when there is none. */
function compilerVersion() {
  try {
    return execFileSync('clang', ['--version'], { encoding: 'utf8' }).split('\n')[0].trim();
  } catch {
    return undefined;
  }
}

/** True when libbpf's and the kernel's headers are installed too. */
function canCompile() {
  const input = '#include <linux/types.h>\n#include <bpf/bpf_helpers.h>\n';
  const parameters = [...flags.split(' '), ...includes(), '-fsyntax-only', '-x', 'c', '-'];
  return spawnSync('clang', parameters, { input }).status === 0 && stripProgram() !== undefined;
}

/** Undefined when there is none. */
function stripProgram() {
  const major = /version (\d+)/.exec(compilerVersion() ?? '')?.[1];
  const names = ['llvm-strip', `llvm-strip-${major}`];
  return names.find((name) => spawnSync(name, ['--version']).status === 0);
}

/** The compiler's messages go to the terminal. */
function run(program, parameters, input = '') {
  try {
    execFileSync(program, parameters, { input, stdio: ['pipe', 'inherit', 'inherit'] });
  } catch (error) {
    fail(`${program} failed (${error.code ?? `status ${error.status}`})`);
  }
}

function ensured(directory) {
  mkdirSync(directory, { recursive: true });
  return directory;
}

function sourceOf(object) {
  return object.replace(/\.o$/, '.c');
}

function recordOf(object) {
  return object.replace(/\.o$/, '.json');
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}
