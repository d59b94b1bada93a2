// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checksumGains } from '../../../src/engine/xdp/checksum-gains.ts';
import { foldSum, internetChecksum } from '../../../src/lib/checksum.ts';
import { type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../../../src/lib/ip-address.ts';

const swapped = (word: number): number => ((word & 0xff) << 8) | (word >> 8);

test('a checksum with its gain is the one that a full sum gives', () => {
  const address = (length: number) =>
    fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => ipAddressFromBytes(bytes));
  const port = fc.integer({ min: 1, max: 65_535 });
  const endpoints = (length: number) => fc.tuple(address(length), port, address(length), port, fc.uint8Array());
  fc.assert(
    fc.property(fc.oneof(endpoints(4), endpoints(16)), ([before, portBefore, after, portAfter, rest]) => {
      const gains = checksumGains({ address: before, port: portBefore }, { address: after, port: portAfter });
      const message = (of: IpAddress, number: number): Uint8Array =>
        Uint8Array.of(...ipAddressBytes(of), number >> 8, number & 0xff, 0x12, 0x34, ...rest);
      // As the program does it: the field loaded by a little-endian machine.
      const apply = (checksum: number, gain: number): number =>
        swapped(foldSum((swapped(checksum) ^ 0xffff) + gain) ^ 0xffff);
      const checksum = internetChecksum(message(before, portBefore));
      assert.equal(apply(checksum, gains.endpoint), internetChecksum(message(after, portAfter)));
      assert.equal(apply(checksum, gains.address), internetChecksum(message(after, portBefore)));
      assert.ok(gains.address > 0 && gains.address <= 0xffff && gains.endpoint > 0 && gains.endpoint <= 0xffff);
    }),
  );
});

test('no change is a gain of ones’ complement zero', () => {
  const same = { address: '192.0.2.1' as IpAddress, port: 80 };
  assert.deepEqual(checksumGains(same, same), { address: 0xffff, endpoint: 0xffff });
});
