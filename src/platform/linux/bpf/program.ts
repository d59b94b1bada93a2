// SPDX-License-Identifier: Apache-2.0
import type { BpfProgram, BpfRun, BpfRunOptions } from '../../../engine/xdp/bpf-object.ts';
import { close, errno, if_indextoname, type PinnedMemory, pinnedMemory } from '../libc.ts';
import { errnoName, SystemError } from '../system-error.ts';
import { Attribute, Command, describeProgram } from './system-call.ts';

// The part of union bpf_attr for BPF_PROG_TEST_RUN, in 32-bit words; addresses are bytes.
const Word = { fd: 0, verdict: 1, lengthIn: 2, lengthOut: 3, contextLengthIn: 10 } as const;
const Address = { packetIn: 16, packetOut: 24, contextIn: 48 } as const;

/** struct xdp_md: u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex. */
const contextLength = 24;
const ContextWord = { dataEnd: 1, ingressInterface: 3 } as const;
/** The longest packet that net/bpf/test_run.c takes: 17 fragments and a page, rounded up. */
const packetLengthMax = 128 * 1024;
const packetLengthFirst = 4096;

/** A program by its descriptor, which it owns from then on. */
export class KernelProgram implements BpfProgram {
  readonly name: string;
  readonly fd: number;
  readonly #attribute = new Attribute();
  readonly #context = pinnedMemory(contextLength);
  readonly #contextWords = new Uint32Array(this.#context.bytes.buffer);
  #packetIn: PinnedMemory | undefined;
  #packetOut: PinnedMemory | undefined;

  /** Throws one sentence when `fd` is not a program. */
  constructor(fd: number, name: string) {
    if (describeProgram(fd) === undefined) throw new Error(`descriptor ${fd} is not the BPF program ${name}`);
    this.name = name;
    this.fd = fd;
    this.#attribute.words[Word.fd] = fd;
  }

  run(packet: Uint8Array, options: BpfRunOptions = {}): BpfRun {
    const { words } = this.#attribute;
    const room = Math.min(packetLengthMax, options.out?.length ?? 0);
    this.#packetIn = withRoom(this.#packetIn, packet.length);
    if (room > 0) this.#packetOut = withRoom(this.#packetOut, room);
    this.#packetIn.bytes.set(packet);
    words[Word.lengthIn] = packet.length;
    // Without room for it the kernel does not copy the packet out, but still returns its length.
    words[Word.lengthOut] = room;
    words[Word.contextLengthIn] = options.ingressInterface === undefined ? 0 : contextLength;
    this.#attribute.setAddress(Address.packetIn, this.#packetIn.address);
    this.#attribute.setAddress(Address.packetOut, room === 0 ? 0 : this.#packetOut!.address);
    this.#attribute.setAddress(Address.contextIn, options.ingressInterface === undefined ? 0 : this.#context.address);
    this.#contextWords[ContextWord.dataEnd] = packet.length;
    this.#contextWords[ContextWord.ingressInterface] = options.ingressInterface ?? 0;
    if (this.#attribute.call(Command.programTestRun) < 0) this.#refused(packet, options);
    const length = words[Word.lengthOut]!;
    if (room > 0) options.out!.set(this.#packetOut!.bytes.subarray(0, Math.min(length, room)));
    return { verdict: words[Word.verdict]!, length };
  }

  close(): void {
    close(this.fd);
  }

  /** Throws a sentence for an error of bpf(2). Returns when the packet merely did not fit into the buffer. */
  #refused(packet: Uint8Array, { ingressInterface }: BpfRunOptions): void {
    const error = errno();
    if (errnoName(error) === 'ENOSPC') return;
    const purpose = `run the BPF program ${this.name}`;
    if (errnoName(error) !== 'EINVAL') throw new SystemError('bpf', error, purpose);
    if (packet.length < 14) throw new Error(`cannot ${purpose}: a packet has 14 bytes at least, not ${packet.length}`);
    if (ingressInterface === undefined) throw new Error(`cannot ${purpose}: the kernel does not take the packet`);
    const name = if_indextoname(ingressInterface) ?? `the interface with index ${ingressInterface}`;
    throw new Error(`cannot ${purpose}: ${name} has no XDP program, so packets cannot be said to come in by it`);
  }
}

function withRoom(memory: PinnedMemory | undefined, length: number): PinnedMemory {
  if (memory !== undefined && memory.bytes.length >= length) return memory;
  if (length > packetLengthMax) throw new RangeError(`a packet has at most ${packetLengthMax} bytes, not ${length}`);
  return pinnedMemory(Math.max(packetLengthFirst, length));
}
