// SPDX-License-Identifier: Apache-2.0
import { fchmodSync, lstatSync, renameSync, rmSync } from 'node:fs';
import {
  AF_UNIX,
  accept4,
  bindSocket,
  checked,
  close,
  connect,
  errno,
  getsockopt,
  listen,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_TRUNC,
  pinnedMemory,
  recvmsg,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  SOL_SOCKET,
  sendmsg,
  socket,
  socketpair,
} from '../libc.ts';
import { errnos, SystemError } from '../system-error.ts';

/** A message with the descriptors that came along. The receiver owns them, and must close them. */
export interface DescriptorMessage {
  readonly bytes: Uint8Array;
  readonly descriptors: readonly number[];
}

/** The process at the other end, as the kernel recorded it when the connection was made. */
export interface Peer {
  readonly processId: number;
  readonly userId: number;
}

/** Limit of one message. The kernel takes 253 (SCM_MAX_FD in net/scm.h). */
export const descriptorsMax = 80;
/** Limit of one message: a larger payload travels in a file whose descriptor is passed. */
export const messageBytesMax = 16_384;

const lookPeriodMs = 1;

// linux/socket.h
const SCM_RIGHTS = 1;
// linux/un.h: includes the final zero.
const pathBytesMax = 108;

// struct msghdr { void *name; u32 name_length; iovec *iov; size_t iov_count; void *control; size_t control_length; int flags; }
const headerLength = 56;
// struct cmsghdr { size_t length; int level, type; }, the descriptors behind it.
const controlHeaderLength = 16;
const controlLength = controlHeaderLength + 4 * descriptorsMax;

/**
 * One end of a connection between two processes of this host. It carries messages and descriptors (unix(7),
 * SOCK_SEQPACKET, SCM_RIGHTS). No call waits.
 */
export class DescriptorChannel {
  readonly fd: number;
  readonly #bytes = pinnedMemory(messageBytesMax);
  readonly #control = pinnedMemory(controlLength);
  readonly #vector = pinnedMemory(16);
  readonly #header = pinnedMemory(headerLength);

  constructor(fd: number) {
    this.fd = fd;
    const vector = new BigUint64Array(this.#vector.bytes.buffer);
    vector[0] = BigInt(this.#bytes.address);
    const header = new BigUint64Array(this.#header.bytes.buffer);
    header[2] = BigInt(this.#vector.address);
    header[3] = 1n;
  }

  static pair(): readonly [DescriptorChannel, DescriptorChannel] {
    const pair = pinnedMemory(8);
    const type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
    checked('socketpair', socketpair(AF_UNIX, type, 0, pair.address), 'make a line to another process');
    const [left = -1, right = -1] = new Int32Array(pair.bytes.buffer);
    return [new DescriptorChannel(left), new DescriptorChannel(right)];
  }

  /** Undefined when nobody listens at `path`. Throws a sentence for a link, a SystemError for any other reason. */
  static connect(path: string): DescriptorChannel | undefined {
    const purpose = `reach ${path}`;
    if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
      throw new Error(`cannot ${purpose}: it is a symbolic link; remove it, or name another --run-dir`);
    }
    const fd = openSocket(purpose);
    if (connect(fd, addressOfPath(path)) === 0) return new DescriptorChannel(fd);
    const error = errno();
    close(fd);
    if (error === errnos.ENOENT || error === errnos.ECONNREFUSED) return undefined;
    throw new SystemError('connect', error, purpose);
  }

  /** As `connect`, but tries again for `patienceMs` while the listener's queue is full. */
  static async reach(path: string, patienceMs: number): Promise<DescriptorChannel | undefined> {
    const untilMs = performance.now() + patienceMs;
    for (;;) {
      try {
        return DescriptorChannel.connect(path);
      } catch (error) {
        const isFull = error instanceof SystemError && error.errno === errnos.EAGAIN;
        if (!isFull || performance.now() >= untilMs) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, lookPeriodMs));
    }
  }

  peer(): Peer {
    // struct ucred { pid, uid, gid }
    const credentials = pinnedMemory(12);
    const purpose = 'tell who is at the other end';
    checked('getsockopt', getsockopt(this.fd, SOL_SOCKET, SO_PEERCRED, credentials), purpose);
    const [processId = 0, userId = -1] = new Int32Array(credentials.bytes.buffer);
    return { processId, userId: userId >>> 0 };
  }

  /** All or nothing. False when the other end is gone, or has left so much unread that nothing more fits. */
  send(bytes: Uint8Array, descriptors: readonly number[] = []): boolean {
    if (bytes.length === 0 || bytes.length > messageBytesMax) {
      throw new RangeError(`a message has 1 to ${messageBytesMax} bytes, not ${bytes.length}`);
    }
    if (descriptors.length > descriptorsMax) {
      throw new RangeError(`a message carries at most ${descriptorsMax} descriptors, not ${descriptors.length}`);
    }
    this.#bytes.bytes.set(bytes);
    const used = descriptors.length === 0 ? 0 : controlHeaderLength + 4 * descriptors.length;
    const control = new DataView(this.#control.bytes.buffer);
    control.setBigUint64(0, BigInt(used), true);
    control.setInt32(8, SOL_SOCKET, true);
    control.setInt32(12, SCM_RIGHTS, true);
    for (const [index, fd] of descriptors.entries()) control.setInt32(controlHeaderLength + 4 * index, fd, true);
    this.#prepare(bytes.length, used === 0 ? 0 : (used + 7) & ~7);
    return sendmsg(this.fd, this.#header.address, MSG_DONTWAIT | MSG_NOSIGNAL) === bytes.length;
  }

  /** `closed`: the other end is gone. `cut`: a message was too long, or this process may have no more descriptors. */
  receive(): DescriptorMessage | 'nothing' | 'closed' | 'cut' {
    this.#prepare(messageBytesMax, controlLength);
    const length = recvmsg(this.fd, this.#header.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length === -1) return errno() === errnos.EAGAIN || errno() === errnos.EINTR ? 'nothing' : 'closed';
    if (length === 0) return 'closed';
    const header = new DataView(this.#header.bytes.buffer);
    const descriptors = this.#receivedDescriptors(Number(header.getBigUint64(40, true)));
    if ((header.getInt32(48, true) & (MSG_TRUNC | MSG_CTRUNC)) !== 0) {
      for (const fd of descriptors) close(fd);
      return 'cut';
    }
    return { bytes: this.#bytes.bytes.slice(0, length), descriptors };
  }

  close(): void {
    close(this.fd);
  }

  #prepare(length: number, controlBytes: number): void {
    new BigUint64Array(this.#vector.bytes.buffer)[1] = BigInt(length);
    const header = new BigUint64Array(this.#header.bytes.buffer);
    header[4] = controlBytes === 0 ? 0n : BigInt(this.#control.address);
    header[5] = BigInt(controlBytes);
    header[6] = 0n;
  }

  #receivedDescriptors(controlBytes: number): number[] {
    const control = new DataView(this.#control.bytes.buffer);
    const descriptors: number[] = [];
    for (let at = 0; at + controlHeaderLength <= controlBytes; ) {
      const length = Number(control.getBigUint64(at, true));
      if (length < controlHeaderLength) break;
      const rights = control.getInt32(at + 8, true) === SOL_SOCKET && control.getInt32(at + 12, true) === SCM_RIGHTS;
      const end = Math.min(at + length, controlBytes);
      for (let each = at + controlHeaderLength; rights && each + 4 <= end; each += 4) {
        descriptors.push(control.getInt32(each, true));
      }
      at += (length + 7) & ~7;
    }
    return descriptors;
  }
}

/** Waits at a path for processes of the same user. */
export class DescriptorListener {
  readonly path: string;
  readonly #fd: number;
  readonly #inode: bigint;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
    this.#inode = inodeOf(path) ?? 0n;
  }

  /** Replaces any file at `path`. Throws a sentence when that cannot be done. */
  static open(path: string): DescriptorListener {
    const purpose = `listen at ${path}`;
    // The socket is made under another name and then renamed: at no moment is the path missing or open to other users.
    const beside = `${path}.${process.pid}`;
    const address = addressOfPath(beside);
    rmSync(beside, { force: true });
    const fd = openSocket(purpose);
    try {
      // The file gets the mode of the socket (unix_bind_bsd in net/unix/af_unix.c). A chmod of the path would follow a link.
      fchmodSync(fd, 0o600);
      bindSocket(fd, address, purpose);
      checked('listen', listen(fd, 8), purpose);
      renameSync(beside, path);
    } catch (error) {
      close(fd);
      rmSync(beside, { force: true });
      throw error;
    }
    return new DescriptorListener(path, fd);
  }

  /** The next waiting connection. A connection from another user is closed at once. */
  accept(): DescriptorChannel | undefined {
    for (;;) {
      const fd = accept4(this.#fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd === -1) return undefined;
      const channel = new DescriptorChannel(fd);
      if (channel.peer().userId === process.geteuid?.()) return channel;
      channel.close();
    }
  }

  /** Removes the path too, unless another process listens there by now. */
  close(): void {
    close(this.#fd);
    if (inodeOf(this.path) === this.#inode) rmSync(this.path, { force: true });
  }
}

function openSocket(purpose: string): number {
  return checked('socket', socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), purpose);
}

/** struct sockaddr_un. Throws a sentence when the path does not fit. */
function addressOfPath(path: string): Uint8Array {
  const bytes = new TextEncoder().encode(`${path}\0`);
  if (bytes.length > pathBytesMax) {
    throw new Error(`${path} is too long for a socket (${pathBytesMax - 1} bytes at most); choose a shorter --run-dir`);
  }
  const address = new Uint8Array(2 + bytes.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(bytes, 2);
  return address;
}

function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
