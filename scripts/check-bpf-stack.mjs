// SPDX-License-Identifier: Apache-2.0
// Says which chain of calls in a BPF object takes more stack than kernels give it. A verifier that is younger than the
// oldest kernel that has to do may count less, so that a test here would not notice.
//
//   node scripts/check-bpf-stack.mjs [OBJECT]    says the deepest chain of each program; fails when one is too deep
//
// kernel/bpf/verifier.c of Linux 6.1, check_max_stack_depth: each function takes what it uses rounded up to 32 bytes,
// at least that, and a chain at most 512 bytes and 8 functions, callbacks of helpers included.
import { spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const shipped = 'src/engine/xdp/bpf/baton.bpf.o';
const stackMax = 512;
const framesMax = 8;
const rounding = 32;
const bytesPerInstruction = 8;
const listingLengthMax = 256 << 20;
const none = { bytes: 0, frames: 0, chain: [] };

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) main();

function main() {
  const object = process.argv[2] ?? fileURLToPath(new URL(`../${shipped}`, import.meta.url));
  const functions = readFunctions(object);
  if (functions === undefined) {
    console.error('llvm-objdump is not installed; install it, for example: apt-get install llvm');
    process.exit(1);
  }
  for (const program of programsOf(functions)) {
    const all = reachable(functions, program).reduce((sum, { instructions }) => sum + instructions, 0);
    console.log(`${sentence(deepest(functions, program))}; ${all} instructions`);
  }
  const faults = faultsOf(functions);
  if (faults.length > 0) {
    console.error(faults.join('\n'));
    process.exit(1);
  }
}

/** A sentence for each program of an object that is too deep for a kernel; undefined without llvm-objdump. */
export function stackFaults(object) {
  const functions = readFunctions(object);
  return functions === undefined ? undefined : faultsOf(functions);
}

function faultsOf(functions) {
  return programsOf(functions)
    .map((program) => deepest(functions, program))
    .flatMap(({ byBytes, byFrames }) => [
      ...(byBytes.bytes > stackMax
        ? [`${named(byBytes)} takes ${byBytes.bytes} bytes of stack; Linux 6.1 gives a chain of calls ${stackMax}.`]
        : []),
      ...(byFrames.frames > framesMax
        ? [`${named(byFrames)} is ${byFrames.frames} functions deep; the kernel takes ${framesMax} at most.`]
        : []),
    ]);
}

function sentence({ byBytes, byFrames }) {
  return `${named(byBytes)}: ${byBytes.bytes} of ${stackMax} bytes, at most ${byFrames.frames} of ${framesMax} functions`;
}

function named({ chain }) {
  return chain.map(({ name, stack }) => `${name} (${stack})`).join(' > ');
}

/** The entry of a program stands in a section of its own. */
function programsOf(functions) {
  return [...functions.values()].filter(({ section }) => section !== '.text');
}

/** A program and all that it calls. */
function reachable(functions, program) {
  const found = new Set([program]);
  // A set that grows is walked to its end.
  for (const { calls } of found) {
    for (const name of calls) if (functions.has(name)) found.add(functions.get(name));
  }
  return [...found];
}

/** The chains from a function on that take most bytes, and most functions. */
function deepest(functions, program) {
  const known = new Map();
  const walk = (called) => {
    const before = known.get(called);
    if (before !== undefined) return before;
    // The verifier allows no recursion.
    known.set(called, { byBytes: none, byFrames: none });
    const below = [...called.calls].map((key) => functions.get(key)).filter((callee) => callee !== undefined);
    const chains = below.map(walk);
    const most = (name, size) =>
      chains.reduce((best, chain) => (chain[name][size] > best[size] ? chain[name] : best), none);
    const found = {
      byBytes: longer(called, most('byBytes', 'bytes')),
      byFrames: longer(called, most('byFrames', 'frames')),
    };
    known.set(called, found);
    return found;
  };
  return walk(program);
}

function longer(called, { bytes, frames, chain }) {
  const own = Math.ceil(Math.max(1, called.stack) / rounding) * rounding;
  return { bytes: bytes + own, frames: frames + 1, chain: [called, ...chain] };
}

/** Functions by name: section, bytes of stack, and the names of those that it calls. Undefined without llvm-objdump. */
function readFunctions(object) {
  const listing = disassembly(object);
  if (listing === undefined) return undefined;
  const functions = new Map();
  const byPlace = new Map();
  let section = '';
  let current;
  for (const line of listing.split('\n')) {
    const heading = /^Disassembly of section (\S+):/.exec(line);
    const label = /^([0-9a-f]+) <(\w+)>:/.exec(line);
    if (heading !== null) section = heading[1];
    // Labels within a function are the compiler's.
    else if (label !== null && !label[2].startsWith('LBB')) {
      current = { name: label[2], section, stack: 0, instructions: 0, calls: new Set(), copies: new Set(), last: '' };
      functions.set(current.name, current);
      byPlace.set(Number.parseInt(label[1], 16) / bytesPerInstruction, section === '.text' ? current.name : undefined);
    } else if (current !== undefined) readLine(current, line);
  }
  for (const called of functions.values()) {
    called.calls = new Set([...called.calls].map((key) => (typeof key === 'number' ? byPlace.get(key) : key)));
  }
  return functions;
}

/**
 * Notes what a line of a function says about its stack and its calls. Calls by place are numbers until all places are
 * known.
 */
function readLine(current, line) {
  const relocation = /R_BPF_64_(32|64)\s+(\S+)/.exec(line);
  if (relocation !== null) {
    const [, kind, symbol] = relocation;
    // A function within .text: its place stands in the instruction, for a call as what is to be added to the next one.
    if (symbol !== '.text') current.calls.add(symbol);
    else if (kind === '32') current.calls.add(Number(/call (-?\w+)/.exec(current.last)?.[1]) + 1);
    else current.calls.add(Number(/= (\w+) ll/.exec(current.last)?.[1]) / bytesPerInstruction);
    return;
  }
  if (!/^\s+\d+:/.test(line)) return;
  current.last = line;
  current.instructions += 1;
  const direct = /r10 - (\w+)/.exec(line);
  const copy = /:\s+(r\d) = r10$/.exec(line.trimEnd());
  const moved = /:\s+(r\d) \+= -(\w+)/.exec(line);
  if (copy !== null) current.copies.add(copy[1]);
  if (direct !== null) current.stack = Math.max(current.stack, Number(direct[1]));
  if (moved !== null && current.copies.has(moved[1])) current.stack = Math.max(current.stack, Number(moved[2]));
}

function disassembly(object) {
  const versions = Array.from({ length: 12 }, (_, i) => `llvm-objdump-${14 + i}`);
  for (const program of ['llvm-objdump', ...versions]) {
    const { status, stdout } = spawnSync(program, ['-dr', '--no-show-raw-insn', object], {
      encoding: 'utf8',
      maxBuffer: listingLengthMax,
    });
    if (status === 0) return stdout;
  }
  return undefined;
}
