// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { withConstants, withoutFragments } from '../../../src/platform/linux/bpf/load.ts';
import { parseObjectFile } from '../../../src/platform/linux/bpf/object-file.ts';
import { fixtureObject } from '../../support/bpf/objects.ts';

const bytes = readFileSync(fixtureObject);
const file = parseObjectFile(bytes);

describe('what a BPF object file says of itself', () => {
  test('maps with their sizes', () => {
    assert.deepEqual(
      file.maps.map(({ name, kind, keySize, valueSize, maxEntries, flags }) => [
        name,
        kind,
        keySize,
        valueSize,
        maxEntries,
        flags,
      ]),
      [
        ['services', 'array', 4, 48, 4, 0x400],
        ['slots', 'array', 4, 4, 3000, 0x400],
        ['per_cpu', 'perCpuArray', 4, 4, 2, 0],
        ['services_by_endpoint', 'hash', 20, 4, 8, 0],
        ['events', 'ringBuffer', 0, 0, 4096, 0],
      ],
    );
  });

  test('programs, constants and globals', () => {
    assert.deepEqual(file.programs, [
      { name: 'count_packet', section: 'xdp.frags' },
      { name: 'send_event', section: 'xdp' },
    ]);
    assert.deepEqual(file.constants, [
      { name: 'limit', offset: 0, size: 1 },
      { name: 'verdict_base', offset: 4, size: 4 },
      { name: 'wide', offset: 8, size: 8 },
      { name: 'below_zero', offset: 16, size: 2 },
    ]);
    assert.deepEqual(
      file.globals.map(({ name, section, offset, size }) => [name, section, offset, size]),
      [['reader_asleep', '.bss', 0, 4]],
    );
  });

  const damaged: readonly (readonly [what: string, bytes: Uint8Array, message: string])[] = [
    ['nothing', new Uint8Array(), 'it is not a BPF object file'],
    ['text', new TextEncoder().encode('#'.repeat(200)), 'it is not a BPF object file'],
    ['a program of this machine', changed(18, 62), 'it is not a BPF object file'],
    ['the first half', bytes.subarray(0, bytes.length / 2), 'the BPF object file is cut off'],
    [
      'a file without types',
      renamed('.BTF\0', '.BTX\0'),
      'the BPF object has no type section (.BTF); build it with -g',
    ],
  ];
  for (const [what, content, message] of damaged) {
    test(`refuses ${what}`, () => assert.throws(() => parseObjectFile(content), { message }));
  }

  test('whatever is damaged ends in a sentence, not in a wrong read', () => {
    for (let cut = 64; cut < bytes.length; cut += 97) {
      assert.throws(() => parseObjectFile(bytes.subarray(0, cut)), { name: 'Error' });
    }
  });
});

describe('constants', () => {
  const patch = (values: Record<string, number | bigint>): string =>
    Buffer.from(withConstants(file.readOnly!, file.constants, values))
      .subarray(0, 18)
      .toString('hex');

  test('are written in their own size, and the rest stays', () => {
    assert.equal(patch({}), '03000000010000000807060504030201feff');
    assert.equal(patch({ limit: 255, verdict_base: 0x01020304 }), 'ff000000040302010807060504030201feff');
    assert.equal(patch({ wide: 0xffff_ffff_ffff_fffen }), '0300000001000000feffffffffffffff' + 'feff');
    assert.equal(patch({ below_zero: -32768 }), '030000000100000008070605040302010080');
    assert.equal(Buffer.from(file.readOnly!).subarray(0, 4).toString('hex'), '03000000');
  });

  test('that are misspelt or too large are refused', () => {
    assert.throws(() => patch({ limits: 1 }), { message: 'the BPF object has no constant limits' });
    assert.throws(() => patch({ limit: 256 }), {
      message: '256 does not fit into the 1 bytes of the BPF constant limit',
    });
    assert.throws(() => patch({ limit: -129 }), {
      message: '-129 does not fit into the 1 bytes of the BPF constant limit',
    });
  });
});

test('an object for whole packets differs in the name of the section alone', () => {
  const whole = parseObjectFile(withoutFragments(bytes));
  assert.deepEqual(
    whole.programs.map(({ section }) => section),
    ['xdp', 'xdp'],
  );
  assert.deepEqual(whole.maps, file.maps);
});

function changed(offset: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[offset] = value;
  return copy;
}

function renamed(from: string, to: string): Uint8Array {
  const copy = Buffer.from(bytes);
  copy.write(to, copy.indexOf(from), 'latin1');
  return copy;
}
