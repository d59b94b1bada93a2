// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';

// As much of RFC 6455 as an echo needs: whole binary messages, closing, no extensions.

export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
}

export const opcodes = { binary: 2, close: 8 } as const;

/** RFC 6455 section 4.2.2: what the server answers to a Sec-WebSocket-Key. */
export function acceptKey(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

/** A final frame; clients must give a mask of four bytes, servers none (section 5.1). */
export function emitFrame(opcode: number, payload: Buffer, mask?: Buffer): Buffer {
  const length = payload.length;
  const extended = length < 126 ? 0 : length < 0x1_0000 ? 2 : 8;
  const head = Buffer.alloc(2 + extended);
  head[0] = 0x80 | opcode;
  head[1] = (mask === undefined ? 0 : 0x80) | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) head.writeUInt16BE(length, 2);
  if (extended === 8) head.writeBigUInt64BE(BigInt(length), 2);
  if (mask === undefined) return Buffer.concat([head, payload]);
  return Buffer.concat([head, mask, masked(payload, mask)]);
}

/** Gives the frames that a stream has brought so far. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): Frame[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | undefined {
    const bytes = this.#rest;
    if (bytes.length < 2) return undefined;
    const short = bytes[1]! & 0x7f;
    const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
    const maskLength = bytes[1]! & 0x80 ? 4 : 0;
    const start = 2 + extended + maskLength;
    if (bytes.length < start) return undefined;
    const length = extended === 0 ? short : extended === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    if (bytes.length < start + length) return undefined;
    this.#rest = bytes.subarray(start + length);
    const payload = bytes.subarray(start, start + length);
    const mask = bytes.subarray(2 + extended, start);
    return { opcode: bytes[0]! & 0x0f, payload: maskLength === 0 ? payload : masked(payload, mask) };
  }
}

function masked(payload: Buffer, mask: Buffer): Buffer {
  const result = Buffer.from(payload);
  for (let i = 0; i < result.length; i += 1) result[i]! ^= mask[i & 3]!;
  return result;
}
