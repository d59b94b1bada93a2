// SPDX-License-Identifier: Apache-2.0
import koffi, { type LibraryHandle } from 'koffi';
import { SystemError } from './system-error.ts';

// Thin wrappers of the system calls: numbers in, a number out, -1 and `errno()` on failure. Addresses are plain
// numbers (user space has at most 48 bits of address, so they are exact). Works in worker threads: each loads its own.

export type SystemCall = (...parameters: number[]) => number;

type OnPool = (...parameters: [...number[], (error: Error | null, result: number) => void]) => void;

/** Memory outside the garbage collector's heap, with an address that does not change as long as `bytes` is held. */
export interface PinnedMemory {
  readonly bytes: Uint8Array;
  readonly address: number;
}

// asm-generic/mman-common.h, linux/mman.h
export const PROT_READ = 1;
const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;

// linux/socket.h, linux/net.h
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_TRUNC = 0x20;
export const MSG_CTRUNC = 0x08;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x4000_0000;

// asm-generic/socket.h: the same on x86_64 and arm64
export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_RCVTIMEO = 20;
export const SO_PEERCRED = 17;
export const SO_BINDTODEVICE = 25;
export const SO_ATTACH_FILTER = 26;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;

const library = loadLibc();

/** A socklen_t that is passed by reference. */
const optionLength = pinnedMemory(4);
const optionLengthWord = new Int32Array(optionLength.bytes.buffer);

export const socket = bind('int socket(int domain, int type, int protocol)');
export const close = bind('int close(int fd)');
export const read = bind('intptr_t read(int fd, uintptr_t buffer, size_t length)');
export const write = bind('intptr_t write(int fd, uintptr_t buffer, size_t length)');
export const recv = bind('intptr_t recv(int fd, uintptr_t buffer, size_t length, int flags)');
export const sendto = bind(
  'intptr_t sendto(int fd, uintptr_t buffer, size_t length, int flags, uintptr_t address, uint32_t addressLength)',
);
export const sendmsg = bind('intptr_t sendmsg(int fd, uintptr_t message, int flags)');
export const recvmsg = bind('intptr_t recvmsg(int fd, uintptr_t message, int flags)');
export const socketpair = bind('int socketpair(int domain, int type, int protocol, uintptr_t pair)');
export const listen = bind('int listen(int fd, int backlog)');
export const accept4 = bind('int accept4(int fd, uintptr_t address, uintptr_t length, int flags)');
export const sendmmsg = bind('int sendmmsg(int fd, uintptr_t messages, uint32_t count, int flags)');
export const ppoll = bind('int ppoll(uintptr_t fds, unsigned long count, uintptr_t timeout, uintptr_t mask)');
export const eventfd = bind('int eventfd(uint32_t initial, int flags)');
export const ftruncate = bind('int ftruncate(int fd, int64_t length)');
export const clock_getres = bind('int clock_getres(int clock, uintptr_t resolution)');
export const fcntl = bind('int fcntl(int fd, int command, int argument)');
export const setpriority = bind('int setpriority(int which, uint32_t who, int value)');
export const flock = bind('int flock(int fd, int operation)');
export const getpagesize = bind('int getpagesize(void)');
/** syscall(2) with three arguments, for bpf(2), which has no function in libc. */
export const syscall = bind('long syscall(long number, long first, uintptr_t second, unsigned long third)');
export const sched_setscheduler = bind('int sched_setscheduler(int pid, int policy, uintptr_t parameters)');

const connectCall = bind('int connect(int fd, uintptr_t address, uint32_t length)');
const getsocknameCall = bind('int getsockname(int fd, uintptr_t address, uintptr_t length)');
const bindCall = bind('int bind(int fd, uintptr_t address, uint32_t length)');
const setsockoptCall = bind('int setsockopt(int fd, int level, int name, uintptr_t value, uint32_t length)');
const getsockoptCall = bind('int getsockopt(int fd, int level, int name, uintptr_t value, uintptr_t length)');
const mmapCall = library.func(
  'uintptr_t mmap(uintptr_t address, size_t length, int protection, int flags, int fd, int64_t offset)',
) as (...parameters: number[]) => number | bigint;
const memfdCreateCall = library.func('int memfd_create(const char *name, uint32_t flags)') as (
  name: string,
  flags: number,
) => number;
const ifIndexToNameCall = library.func('char *if_indextoname(uint32_t index, uintptr_t name)') as (
  index: number,
  name: number,
) => string | null;
const ifNameToIndexCall = library.func('uint32_t if_nametoindex(const char *name)') as (name: string) => number;

/** The error of the last call on this thread. */
export function errno(): number {
  return koffi.errno();
}

/** Passes a call's result through; throws a SystemError when it is -1. `purpose` completes "cannot ...". */
export function checked(call: string, result: number, purpose?: string): number {
  if (result === -1) throw new SystemError(call, errno(), purpose);
  return result;
}

/** `length` zeroed bytes. A plain ArrayBuffer, because small typed arrays live on the heap and move. */
export function pinnedMemory(length: number): PinnedMemory {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  return { bytes, address: addressOf(bytes) };
}

/** The address of an array that is backed by an ArrayBuffer of its own. */
export function addressOf(bytes: Uint8Array): number {
  return Number(koffi.address(bytes.buffer)) + bytes.byteOffset;
}

/** Bytes over memory that was mapped. The mapping must stay for as long as anything may touch them. */
export function memoryAt(address: number, length: number): ArrayBuffer {
  return koffi.view(BigInt(address), length);
}

export function bindSocket(fd: number, address: Uint8Array, purpose?: string): void {
  const pinned = pinnedCopy(address);
  checked('bind', bindCall(fd, pinned.address, address.length), purpose);
}

/** -1 on failure. */
export function connect(fd: number, address: Uint8Array): number {
  return connectCall(fd, pinnedCopy(address).address, address.length);
}

export function mmap(
  address: number,
  length: number,
  flags: number,
  fd: number,
  purpose?: string,
  { protection = PROT_READ | PROT_WRITE, offset = 0 }: { readonly protection?: number; readonly offset?: number } = {},
): number {
  const result = mmapCall(address, length, protection, flags, fd, offset);
  // MAP_FAILED is (void *) -1, which is not a safe integer and so arrives as a BigInt.
  if (typeof result === 'bigint') throw new SystemError('mmap', errno(), purpose);
  return result;
}

/** ppoll(2) on a thread of the pool, so that this thread goes on. -1 when it failed; its errno stays on that thread. */
export function ppollOnPool(fds: number, count: number, timeout: number): Promise<number> {
  const { async: onPool } = ppoll as SystemCall & { async: OnPool };
  return new Promise((resolve) => {
    onPool(fds, count, timeout, 0, (error, ready) => resolve(error === null ? ready : -1));
  });
}

export function memfd_create(name: string, flags: number): number {
  return memfdCreateCall(name, flags);
}

/** Undefined when there is no such interface. */
export function if_indextoname(index: number): string | undefined {
  // IF_NAMESIZE bytes.
  const name = pinnedMemory(16);
  return ifIndexToNameCall(index, name.address) ?? undefined;
}

/** 0 when there is no such interface. */
export function if_nametoindex(name: string): number {
  return ifNameToIndexCall(name);
}

/** -1 on failure. */
export function setsockopt(fd: number, level: number, name: number, value: Uint8Array | number): number {
  const bytes = typeof value === 'number' ? int32(value) : value;
  return setsockoptCall(fd, level, name, pinnedCopy(bytes).address, bytes.length);
}

/** Fills `value`. -1 on failure. */
export function getsockopt(fd: number, level: number, name: number, value: PinnedMemory): number {
  optionLengthWord[0] = value.bytes.length;
  return getsockoptCall(fd, level, name, value.address, optionLength.address);
}

/** Fills `address` with what the socket is bound to. -1 on failure. */
export function getsockname(fd: number, address: PinnedMemory): number {
  optionLengthWord[0] = address.bytes.length;
  return getsocknameCall(fd, address.address, optionLength.address);
}

/** A C `int`. */
export function int32(value: number): Uint8Array {
  return new Uint8Array(Int32Array.of(value).buffer);
}

export function pinnedCopy(bytes: Uint8Array): PinnedMemory {
  const pinned = pinnedMemory(bytes.length);
  pinned.bytes.set(bytes);
  return pinned;
}

function bind(prototype: string): SystemCall {
  return library.func(prototype) as SystemCall;
}

function loadLibc(): LibraryHandle {
  try {
    return koffi.load('libc.so.6');
  } catch {
    // musl: its only library has the architecture in its name.
    return koffi.load(`libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`);
  }
}
