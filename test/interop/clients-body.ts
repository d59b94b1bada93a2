// SPDX-License-Identifier: Apache-2.0
import { createCipheriv, createHash } from 'node:crypto';

// Bodies that both ends can make: without a pattern, and another one for each number.

export const bodyLength = 4 * 1024 * 1024;

export function bodyOf(number: number): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32BE(number);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bodyLength));
}

export function checksum(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
