// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { BpfDescriptor, BpfLoadSettings, BpfObject } from '../../../engine/xdp/bpf-object.ts';
import { checked, close, errno, fcntl, type PinnedMemory, pinnedMemory } from '../libc.ts';
import { errnoName, errnos, SystemError } from '../system-error.ts';
import { type Libbpf, libbpf } from './libbpf.ts';
import { openBpfObject } from './object.ts';
import { type Constant, type ObjectFile, parseObjectFile } from './object-file.ts';
import { readVerifierLog } from './verifier-log.ts';

export interface LoadOptions {
  /** The object file. When absent, the one that comes with baton. */
  readonly path?: string;
  /**
   * Whether programs take packets of several fragments (jumbo frames, packets that the driver has merged). When absent,
   * they do. A few drivers take only programs that do not.
   */
  readonly fragments?: boolean;
  /**
   * A running object of the same layout whose maps the programs use, so that they can replace its programs. Its
   * constants are not used, and its maps keep their sizes. It may be closed afterwards.
   */
  readonly successorOf?: BpfObject;
}

/** A program that the verifier refused. The message is one sentence; `path` tells how the verifier came to it. */
export class VerifierError extends Error {
  override readonly name = 'VerifierError';
  readonly program: string;
  /** At most 20 lines of source and instructions. */
  readonly path: readonly string[];

  constructor(program: string, verdict: string, path: readonly string[]) {
    super(`this kernel (${release()}) refuses the BPF program ${program}: ${verdict}`);
    this.program = program;
    this.path = path;
  }
}

/** Compiled from src/engine/xdp/bpf and shipped beside the JavaScript. */
const shippedObjectPath = fileURLToPath(new URL('../../../engine/xdp/bpf/baton.bpf.o', import.meta.url));

const objectName = 'baton';
const BPF_F_XDP_HAS_FRAGS = 1 << 5;
const F_DUPFD_CLOEXEC = 1030;
/**
 * Only the pages of the zeroed memory that are written take room. A log of level 1 has only the failing path (when it
 * does not fit, kernels before 6.4 keep its beginning, later ones its end).
 */
const logLength = 8 << 20;

/** SHA-256 of the object that comes with baton, in hexadecimal. */
export function shippedObjectDigest(): string {
  return createHash('sha256').update(readFileSync(shippedObjectPath)).digest('hex');
}

/**
 * Brings an object file's maps and programs into the kernel. Throws one sentence: a VerifierError when the verifier
 * refuses a program, otherwise an Error that says what is missing or misspelt.
 */
export function loadBpfObject(settings: BpfLoadSettings, options: LoadOptions = {}): BpfObject {
  const path = options.path ?? shippedObjectPath;
  const bytes = options.fragments === false ? withoutFragments(readObject(path)) : readObject(path);
  const file = parseObjectFile(bytes);
  const library = libbpf();
  const log = pinnedMemory(logLength);
  const { value: object, said } = library.listen(() => open(library, bytes));
  if (object === 0) throw new Error(`${path} cannot be loaded: ${said.at(-1) ?? errnoName(errno())}`);
  try {
    if (options.successorOf === undefined) applySizes(library, object, settings);
    else reuseMaps(library, object, options.successorOf);
    applyConstants(library, object, file, settings);
    for (const program of each(object, library.nextProgram)) {
      // libbpf asks for a log only when the kernel has refused, so success costs nothing.
      library.setLogBuffer(program, log.address, logLength);
      if (options.fragments !== false) {
        library.setProgramFlags(program, library.programFlags(program)! | BPF_F_XDP_HAS_FRAGS);
      }
    }
    const loading = library.listen(() => library.load(object));
    if (loading.value < 0) throw loadError(-loading.value, loading.said, log);
    return openBpfObject(ownDescriptors(library, object));
  } finally {
    library.close(object);
  }
}

/** `.rodata` with `values` written into it. Throws one sentence for an unknown name, or a value that does not fit. */
export function withConstants(
  readOnly: Uint8Array,
  constants: readonly Constant[],
  values: Readonly<Record<string, number | bigint>>,
): Uint8Array {
  // Not slice(): a Buffer's slice is a view.
  const patched = Uint8Array.from(readOnly);
  const view = new DataView(patched.buffer);
  for (const [name, value] of Object.entries(values)) {
    const constant = constants.find((candidate) => candidate.name === name);
    if (constant === undefined) throw new Error(`the BPF object has no constant ${name}`);
    const bits = constant.size * 8;
    const wide = BigInt(value);
    if (BigInt.asUintN(bits, wide) !== wide && BigInt.asIntN(bits, wide) !== wide) {
      throw new RangeError(`${value} does not fit into the ${constant.size} bytes of the BPF constant ${name}`);
    }
    for (let i = 0; i < constant.size; i += 1) {
      view.setUint8(constant.offset + i, Number((wide >> BigInt(8 * i)) & 0xffn));
    }
  }
  return patched;
}

/** libbpf adds the flag to the programs in the section `xdp.frags`, whose name is in the ELF names and in BTF. */
export function withoutFragments(object: Uint8Array): Uint8Array {
  const bytes = Buffer.from(object);
  const name = Buffer.from('xdp.frags\0');
  for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + 1)) bytes[at + 'xdp'.length] = 0;
  return bytes;
}

function readObject(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch {
    throw new Error(`the BPF object ${path} is not there; baton's packages carry it, npm run build copies it`);
  }
}

function open(library: Libbpf, bytes: Uint8Array): number {
  const image = pinnedMemory(bytes.length);
  image.bytes.set(bytes);
  const name = pinnedMemory(objectName.length + 1);
  name.bytes.set(new TextEncoder().encode(objectName));
  // struct bpf_object_open_opts, its first two members: size_t sz; const char *object_name.
  const options = pinnedMemory(16);
  new BigUint64Array(options.bytes.buffer).set([16n, BigInt(name.address)]);
  return library.openMemory(image.address, bytes.length, options.address);
}

function reuseMaps(library: Libbpf, object: number, running: BpfObject): void {
  for (const map of each(object, library.nextMap)) {
    const name = mapNameOf(library, map);
    if (name === '.rodata') continue;
    const fd = running.maps.get(name)?.fd;
    if (fd === undefined)
      throw new Error(`the running BPF object has no map ${name}; it is of another version of baton`);
    const result = library.reuseFd(map, fd);
    if (result < 0) throw new SystemError('bpf_map__reuse_fd', -result, `go on with the BPF map ${name}`);
  }
}

function applySizes(library: Libbpf, object: number, settings: BpfLoadSettings): void {
  for (const [name, count] of Object.entries(settings.mapSizes)) {
    const map = library.findMap(object, name);
    if (map === 0) throw new Error(`the BPF object has no map ${name}`);
    const result = library.setMaxEntries(map, count);
    if (result < 0)
      throw new SystemError('bpf_map__set_max_entries', -result, `give the BPF map ${name} ${count} entries`);
  }
}

function applyConstants(library: Libbpf, object: number, file: ObjectFile, settings: BpfLoadSettings): void {
  if (Object.keys(settings.constants).length === 0) return;
  const readOnly = withConstants(file.readOnly ?? new Uint8Array(), file.constants, settings.constants);
  const pinned = pinnedMemory(readOnly.length);
  pinned.bytes.set(readOnly);
  for (const map of each(object, library.nextMap)) {
    if (mapNameOf(library, map) !== '.rodata') continue;
    const result = library.setInitialValue(map, pinned.address, readOnly.length);
    if (result < 0) throw new SystemError('bpf_map__set_initial_value', -result, 'set the constants of the BPF object');
  }
}

function loadError(error: number, said: readonly string[], log: PinnedMemory): Error {
  const text = new TextDecoder().decode(log.bytes.subarray(0, log.bytes.indexOf(0)));
  const { verdict, path } = readVerifierLog(text);
  const program = said.map((line) => /prog '([^']+)': BPF program load failed/.exec(line)?.[1]).find(Boolean);
  if (program !== undefined && verdict !== '') return new VerifierError(program, verdict, path);
  if (error === errnos.EPERM) {
    return new Error(
      'cannot load the BPF object: the process needs CAP_BPF and CAP_NET_ADMIN outside of any user namespace (EPERM)',
    );
  }
  // libbpf's messages name the map or symbol; the very last one only says that the object did not load.
  const reason = said
    .filter((line) => line.startsWith('libbpf: ') && !/failed to load object/.test(line))
    .map((line) => line.slice('libbpf: '.length))
    .at(-1);
  const what = new SystemError('bpf', error, 'load the BPF object').message;
  return new Error(reason === undefined ? what : `${what}: ${reason}`);
}

/** Duplicates a descriptor, because libbpf closes its own with its object, whose megabytes are freed after loading. */
function ownDescriptors(library: Libbpf, object: number): BpfDescriptor[] {
  const descriptors: BpfDescriptor[] = [];
  const add = (kind: BpfDescriptor['kind'], name: string, fd: number): void => {
    const own = checked('fcntl', fcntl(fd, F_DUPFD_CLOEXEC, 3), `keep the BPF ${kind} ${name}`);
    descriptors.push({ kind, name, fd: own });
  };
  try {
    for (const map of each(object, library.nextMap)) add('map', mapNameOf(library, map), library.mapFd(map));
    for (const program of each(object, library.nextProgram)) {
      add('program', library.programName(program), library.programFd(program));
    }
    return descriptors;
  } catch (error) {
    for (const { fd } of descriptors) close(fd);
    throw error;
  }
}

/** libbpf calls the maps of sections `baton.rodata` and so on. */
function mapNameOf(library: Libbpf, map: number): string {
  const name = library.mapName(map);
  return library.isInternal(map) ? name.slice(name.indexOf('.')) : name;
}

function* each(object: number, next: (object: number, previous: number) => number): Generator<number> {
  for (let at = next(object, 0); at !== 0; at = next(object, at)) yield at;
}
