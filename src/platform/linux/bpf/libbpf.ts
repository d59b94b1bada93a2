// SPDX-License-Identifier: Apache-2.0
import koffi, { type LibraryHandle } from 'koffi';
import { pinnedMemory, type SystemCall } from '../libc.ts';

// The functions of libbpf 1.1 (bpf/libbpf.h) that bring an object file into the kernel. Pointers are plain numbers, 0
// is NULL. A call that fails returns a negative errno, or NULL.

type Named = (at: number, name: string) => number;
type Naming = (at: number) => string;

export interface Libbpf {
  /** Opens an object in memory: bytes, their length, struct bpf_object_open_opts. */
  readonly openMemory: SystemCall;
  readonly load: SystemCall;
  readonly close: SystemCall;
  readonly nextProgram: SystemCall;
  readonly programName: Naming;
  readonly programFd: SystemCall;
  readonly programFlags: SystemCall;
  readonly setProgramFlags: SystemCall;
  readonly setLogBuffer: SystemCall;
  readonly nextMap: SystemCall;
  readonly findMap: Named;
  readonly mapName: Naming;
  readonly isInternal: (map: number) => boolean;
  readonly mapFd: SystemCall;
  readonly setMaxEntries: SystemCall;
  readonly reuseFd: SystemCall;
  readonly setInitialValue: SystemCall;
  /** Runs `task` and returns libbpf's messages meanwhile, one a line. No other thread may use libbpf then. */
  listen<Value>(task: () => Value): { readonly value: Value; readonly said: readonly string[] };
}

const lineLength = 2048;

let loaded: Libbpf | undefined;

/** Throws one sentence when the library is not installed. */
export function libbpf(): Libbpf {
  loaded ??= bindLibrary(openLibrary());
  return loaded;
}

function openLibrary(): LibraryHandle {
  try {
    return koffi.load('libbpf.so.1');
  } catch {
    throw new Error(
      'libbpf 1.x (libbpf.so.1) is not installed; install it, for example: apt-get install libbpf1 (Fedora: libbpf)',
    );
  }
}

function bindLibrary(library: LibraryHandle): Libbpf {
  const call = (prototype: string): SystemCall => library.func(prototype) as SystemCall;
  const naming = (prototype: string): Naming => library.func(prototype) as Naming;
  return {
    openMemory: call('uintptr_t bpf_object__open_mem(uintptr_t bytes, size_t length, uintptr_t options)'),
    load: call('int bpf_object__load(uintptr_t object)'),
    close: call('void bpf_object__close(uintptr_t object)'),
    nextProgram: call('uintptr_t bpf_object__next_program(uintptr_t object, uintptr_t previous)'),
    programName: naming('const char *bpf_program__name(uintptr_t program)'),
    programFd: call('int bpf_program__fd(uintptr_t program)'),
    programFlags: call('uint32_t bpf_program__flags(uintptr_t program)'),
    setProgramFlags: call('int bpf_program__set_flags(uintptr_t program, uint32_t flags)'),
    setLogBuffer: call('int bpf_program__set_log_buf(uintptr_t program, uintptr_t buffer, size_t length)'),
    nextMap: call('uintptr_t bpf_object__next_map(uintptr_t object, uintptr_t previous)'),
    findMap: library.func('uintptr_t bpf_object__find_map_by_name(uintptr_t object, const char *name)') as Named,
    mapName: naming('const char *bpf_map__name(uintptr_t map)'),
    isInternal: library.func('bool bpf_map__is_internal(uintptr_t map)') as (map: number) => boolean,
    mapFd: call('int bpf_map__fd(uintptr_t map)'),
    setMaxEntries: call('int bpf_map__set_max_entries(uintptr_t map, uint32_t count)'),
    reuseFd: call('int bpf_map__reuse_fd(uintptr_t map, int fd)'),
    setInitialValue: call('int bpf_map__set_initial_value(uintptr_t map, uintptr_t value, size_t length)'),
    listen: listener(library),
  };
}

/** libbpf writes to standard error unless told otherwise; its texts name the program or map that failed. */
function listener(library: LibraryHandle): Libbpf['listen'] {
  const prototype = koffi.proto('int BatonLibbpfPrint(int level, const char *format, uintptr_t parameters)');
  const setPrint = library.func('libbpf_set_print', 'void *', [koffi.pointer(prototype)]) as (
    callback: unknown,
  ) => unknown;
  // A va_list argument is passed as an address on both x86_64 and arm64 (System V ABI 3.5.7, AAPCS64 6.8.2).
  const format = koffi
    .load('libc.so.6')
    .func('int vsnprintf(uintptr_t buffer, size_t length, const char *format, uintptr_t parameters)') as (
    buffer: number,
    length: number,
    text: string,
    parameters: number,
  ) => number;
  const line = pinnedMemory(lineLength);
  // LIBBPF_DEBUG is 2: hundreds of lines.
  const collect =
    (said: string[]) =>
    (level: number, text: string, parameters: number): number => {
      if (level >= 2) return 0;
      const length = Math.min(lineLength - 1, format(line.address, lineLength, text, parameters));
      said.push(new TextDecoder().decode(line.bytes.subarray(0, Math.max(0, length))).trim());
      return length;
    };
  setPrint(null);
  return (task) => {
    const said: string[] = [];
    const callback = koffi.register(collect(said), koffi.pointer(prototype));
    setPrint(callback);
    try {
      return { value: task(), said };
    } finally {
      setPrint(null);
      koffi.unregister(callback);
    }
  };
}
