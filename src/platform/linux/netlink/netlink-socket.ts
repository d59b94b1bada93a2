// SPDX-License-Identifier: Apache-2.0
import {
  AF_NETLINK,
  bindSocket,
  checked,
  close,
  errno,
  MSG_DONTWAIT,
  MSG_TRUNC,
  pinnedMemory,
  recv,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_RCVTIMEO,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
  sendto,
  setsockopt,
  socket,
} from '../libc.ts';
import { errnos, SystemError } from '../system-error.ts';
import {
  emitNetlinkMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseNetlinkMessages,
  viewOf,
} from './message.ts';

export type AttributeList = ReadonlyArray<readonly [number, Uint8Array]>;

const NETLINK_ROUTE = 0;
// struct sockaddr_nl { u16 family; u16 pad; u32 pid; u32 groups; }
const sockaddrLength = 12;
// Dumps come in pieces of at most 32 KiB (net/netlink/af_netlink.c: netlink_recvmsg's max_recvmsg_len).
const receiveBufferLength = 65_536;
const sendBufferLength = 4096;
/** A change of the table during a dump restarts it; after this many attempts the last dump is taken as it is. */
const dumpAttemptsMax = 5;
const answerTimeoutMs = 2000;
/** Receive buffer for notifications that arrive while the thread is busy. */
const notificationBufferBytes = 4 << 20;

/** One rtnetlink socket. Requests block until answered (microseconds); notifications are read without blocking. */
export class NetlinkSocket {
  readonly fd: number;
  readonly #receiveBuffer = pinnedMemory(receiveBufferLength);
  readonly #sendBuffer = pinnedMemory(sendBufferLength);
  #sequence = 0;

  /** `groups`: RTNLGRP_* to be notified of. Requests and notifications need separate sockets. */
  constructor(groups: readonly number[] = []) {
    this.fd = checked('socket', socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), 'open a netlink socket');
    const address = new Uint8Array(sockaddrLength);
    const view = viewOf(address);
    view.setUint16(0, AF_NETLINK, true);
    view.setUint32(8, groups.reduce((mask, group) => mask | (1 << (group - 1)), 0) >>> 0, true);
    bindSocket(this.fd, address, 'bind a netlink socket');
    if (groups.length > 0) {
      const size = notificationBufferBytes;
      if (setsockopt(this.fd, SOL_SOCKET, SO_RCVBUFFORCE, size) < 0) setsockopt(this.fd, SOL_SOCKET, SO_RCVBUF, size);
    }
    const timeout = new BigInt64Array([BigInt(answerTimeoutMs / 1000), 0n]);
    setsockopt(this.fd, SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(timeout.buffer));
  }

  /** Sends a request and waits for its acknowledgement. Returns 0, or the errno with which the kernel refused. */
  request(type: number, flags: number, fixed: Uint8Array, attributes: AttributeList): number {
    const sequence = this.send(type, flags | NLM_F_ACK, fixed, attributes);
    for (;;) {
      for (const message of this.#receiveAnswer()) {
        if (message.sequence === sequence && message.type === NLMSG_ERROR) return errorOf(message);
      }
    }
  }

  /** Sends a request that is answered by one message. A number is the errno with which the kernel refused. */
  query(type: number, fixed: Uint8Array, attributes: AttributeList): NetlinkMessage | number {
    const sequence = this.send(type, 0, fixed, attributes);
    for (;;) {
      for (const message of this.#receiveAnswer()) {
        if (message.sequence !== sequence) continue;
        if (message.type === NLMSG_ERROR) return errorOf(message);
        return { ...message, payload: message.payload.slice() };
      }
    }
  }

  /** Dumps a table. `each` gets every message; its payload is valid only during the call. */
  dump(type: number, fixed: Uint8Array, restart: () => void, each: (message: NetlinkMessage) => void): void {
    for (let attempt = 1; ; attempt += 1) {
      restart();
      const interrupted = this.#dumpOnce(type, fixed, each);
      if (!interrupted || attempt === dumpAttemptsMax) return;
    }
  }

  /** Begins a dump that is read piece by piece; returns the argument of `continueDump`. One dump at a time. */
  beginDump(type: number, fixed: Uint8Array): number {
    return this.send(type, NLM_F_DUMP, fixed, []);
  }

  /** Reads the next piece (up to 32 KiB). `interrupted`: the table changed meanwhile, so the dump must be repeated. */
  continueDump(sequence: number, each: (message: NetlinkMessage) => void): { done: boolean; interrupted: boolean } {
    let interrupted = false;
    for (const message of this.#receiveAnswer()) {
      if (message.sequence !== sequence) continue;
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (message.type === NLMSG_DONE) return { done: true, interrupted };
      if (message.type === NLMSG_ERROR) throw new SystemError('recv', errorOf(message), 'read the kernel tables');
      each(message);
    }
    return { done: false, interrupted };
  }

  #dumpOnce(type: number, fixed: Uint8Array, each: (message: NetlinkMessage) => void): boolean {
    const sequence = this.beginDump(type, fixed);
    let interrupted = false;
    for (;;) {
      const piece = this.continueDump(sequence, each);
      interrupted ||= piece.interrupted;
      if (piece.done) return interrupted;
    }
  }

  /** Sends without waiting for an answer; returns the sequence number. Throws when the kernel does not take it. */
  send(type: number, flags: number, fixed: Uint8Array, attributes: AttributeList): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const header = { type, flags: flags | NLM_F_REQUEST, sequence: this.#sequence, fixed };
    const length = emitNetlinkMessage(header, attributes, this.#sendBuffer.bytes, 0);
    checked('sendto', sendto(this.fd, this.#sendBuffer.address, length, MSG_DONTWAIT, 0, 0), 'ask the kernel');
    return this.#sequence;
  }

  /**
   * Hands over the notifications that have arrived, without waiting; payloads are valid only during the call.
   * `overrun`: the kernel had to throw notifications away, so its tables must be read again. At most `datagramsMax`
   * datagrams are read.
   */
  receive(each: (message: NetlinkMessage) => void, datagramsMax = Number.POSITIVE_INFINITY): 'complete' | 'overrun' {
    let outcome: 'complete' | 'overrun' = 'complete';
    for (let count = 0; count < datagramsMax; count += 1) {
      const length = this.#receiveDatagram(MSG_DONTWAIT);
      if (length < 0) {
        const error = errno();
        if (error === errnos.EAGAIN) return outcome;
        if (error !== errnos.ENOBUFS && error !== errnos.EINTR) throw new SystemError('recv', error, 'hear the kernel');
        if (error === errnos.ENOBUFS) outcome = 'overrun';
        continue;
      }
      const messages = this.#parse(length);
      if (messages === undefined) outcome = 'overrun';
      else for (const message of messages) each(message);
    }
    return outcome;
  }

  close(): void {
    close(this.fd);
  }

  #receiveAnswer(): NetlinkMessage[] {
    for (;;) {
      const length = this.#receiveDatagram(0);
      if (length >= 0) return this.#parse(length) ?? [];
      const error = errno();
      if (error === errnos.EINTR) continue;
      const reported = error === errnos.EAGAIN ? errnos.ETIMEDOUT : error;
      throw new SystemError('recv', reported, 'get an answer from the kernel');
    }
  }

  #receiveDatagram(flags: number): number {
    return recv(this.fd, this.#receiveBuffer.address, receiveBufferLength, flags | MSG_TRUNC);
  }

  /** Undefined for a datagram that is cut off or malformed. */
  #parse(length: number): NetlinkMessage[] | undefined {
    if (length > receiveBufferLength) return undefined;
    const parsed = parseNetlinkMessages(this.#receiveBuffer.bytes.subarray(0, length));
    return parsed.ok ? parsed.value : undefined;
  }
}

/** struct nlmsgerr begins with the negative errno. */
function errorOf(message: NetlinkMessage): number {
  return message.payload.length < 4 ? 0 : -viewOf(message.payload).getInt32(0, true);
}
