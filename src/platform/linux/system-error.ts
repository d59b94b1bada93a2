// SPDX-License-Identifier: Apache-2.0
import koffi from 'koffi';

/** A system call that failed: which one, why, and a sentence for people. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  /** The call, as in `setsockopt`. */
  readonly call: string;
  /** The symbolic error, as in `EPERM`; the bare number when koffi has no name for it. */
  readonly code: string;
  readonly errno: number;

  constructor(call: string, errno: number, purpose?: string) {
    const code = errnoName(errno);
    const why = sentences[code] ?? 'the kernel refused';
    super(purpose === undefined ? `${call} failed: ${why} (${code})` : `cannot ${purpose}: ${why} (${call}: ${code})`);
    this.call = call;
    this.code = code;
    this.errno = errno;
  }
}

/** The errors that callers tell apart. The numbers differ between architectures, so they come from koffi's table. */
export const errnos = koffi.os.errno as Readonly<Record<ErrnoName, number>>;

type ErrnoName =
  | 'EACCES'
  | 'EADDRINUSE'
  | 'EADDRNOTAVAIL'
  | 'EAFNOSUPPORT'
  | 'EAGAIN'
  | 'EBADF'
  | 'EBUSY'
  | 'ECONNREFUSED'
  | 'EEXIST'
  | 'EHOSTUNREACH'
  | 'EINTR'
  | 'EINVAL'
  | 'EMFILE'
  | 'EMSGSIZE'
  | 'ENETDOWN'
  | 'ENETUNREACH'
  | 'ENOBUFS'
  | 'ENODEV'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOSYS'
  | 'ENXIO'
  | 'EOPNOTSUPP'
  | 'EPERM'
  | 'ESRCH'
  | 'ETIMEDOUT';

const sentences: Readonly<Record<string, string>> = {
  EACCES: 'permission was denied',
  EADDRINUSE: 'the address is in use by another process',
  EADDRNOTAVAIL: 'the address is not on this machine',
  EAFNOSUPPORT: 'this kernel does not support the address family',
  EAGAIN: 'it would have to wait',
  EBADF: 'the descriptor is closed',
  EBUSY: 'it is busy',
  EEXIST: 'it exists already',
  EINVAL: 'the kernel does not accept the argument',
  EMFILE: 'the process has too many open files; raise LimitNOFILE',
  EMSGSIZE: 'the message is too long',
  ENETDOWN: 'the interface is down',
  ENETUNREACH: 'there is no route',
  ENOBUFS: 'the kernel has no buffer space left',
  ENODEV: 'there is no such interface',
  ENOENT: 'it does not exist',
  ENOMEM: 'there is not enough memory',
  ENOSYS: 'this kernel does not have the call',
  ENXIO: 'the interface is gone',
  EOPNOTSUPP: 'this kernel does not support it',
  EPERM: 'permission was denied',
  ESRCH: 'it does not exist',
  ETIMEDOUT: 'there was no answer in time',
};

const names = new Map<number, string>();
for (const [name, value] of Object.entries(koffi.os.errno)) {
  // EWOULDBLOCK and ENOTSUP are second names of EAGAIN and EOPNOTSUPP.
  if (name !== 'EWOULDBLOCK' && name !== 'ENOTSUP') names.set(value, name);
}

export function errnoName(errno: number): string {
  return names.get(errno) ?? String(errno);
}
