// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { countCpus } from '../../../src/platform/linux/bpf/possible-cpus.ts';
import { kernelTooOld, missingCapabilities } from '../../../src/platform/linux/bpf/probe.ts';
import { readVerifierLog } from '../../../src/platform/linux/bpf/verifier-log.ts';
import { parseXdpPrograms } from '../../../src/platform/linux/bpf/xdp-netlink.ts';

describe('a verifier log', () => {
  test('keeps source and instructions, drops register states, and ends in the verdict', () => {
    const log = `func#0 @0
0: R1=ctx(off=0,imm=0) R10=fp0
; __u8 *data = (__u8 *)(long)ctx->data; @ refused.bpf.c:10
0: (61) r1 = *(u32 *)(r1 +0)          ; R1_w=pkt(r=0)
; return data[34] == 6 ? XDP_DROP : XDP_PASS; @ refused.bpf.c:12
1: (71) r1 = *(u8 *)(r1 +34)
2: (55) if r1 != 0x6 goto pc+1 4: R1=6 R10=fp0
3: (3e) if w3 >= w2 goto pc+2 7914: frame3: R0=map_value(map=a,ks=4,vs=128)
mark_precise: frame0: last_idx 3 first_idx 0 subseq_idx -1
from 2 to 4: R1=scalar() R10=fp0
invalid access to packet, off=34 size=1, R1(id=0,off=34,r=0)
R1 offset is outside of the packet
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`;
    assert.deepEqual(readVerifierLog(log), {
      verdict: 'invalid access to packet, off=34 size=1, R1(id=0,off=34,r=0); R1 offset is outside of the packet',
      path: [
        '; __u8 *data = (__u8 *)(long)ctx->data; @ refused.bpf.c:10',
        '0: (61) r1 = *(u32 *)(r1 +0)',
        '; return data[34] == 6 ? XDP_DROP : XDP_PASS; @ refused.bpf.c:12',
        '1: (71) r1 = *(u8 *)(r1 +34)',
        '2: (55) if r1 != 0x6 goto pc+1',
        '3: (3e) if w3 >= w2 goto pc+2',
        'from 2 to 4:',
      ],
    });
  });

  test('has at most 20 lines, the last ones', () => {
    const lines = Array.from({ length: 500 }, (_, i) => `${i}: (95) exit`);
    const { verdict, path } = readVerifierLog([...lines, 'R0 !read_ok'].join('\n'));
    assert.deepEqual([verdict, path.length, path[0]], ['R0 !read_ok', 20, '480: (95) exit']);
  });

  test('may be empty', () => assert.deepEqual(readVerifierLog(''), { verdict: '', path: [] }));
});

describe('what the engine needs of its process', () => {
  const cases: readonly (readonly [effective: string, missing: readonly string[]])[] = [
    ['0000000000000000', ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF']],
    ['000001ffffffffff', []],
    // CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW
    ['0000008000003000', []],
    // CAP_SYS_ADMIN in the place of CAP_BPF
    ['0000000000203000', []],
    ['0000008000001000', ['CAP_NET_RAW']],
  ];
  for (const [effective, missing] of cases) {
    test(`CapEff ${effective} lacks ${missing.join(', ') || 'nothing'}`, () => {
      assert.deepEqual(missingCapabilities(`Name:\tnode\nCapEff:\t${effective}\nCapBnd:\t0\n`), missing);
    });
  }

  test('a kernel of 6.1 or newer', () => {
    const sentence = 'Linux 5.15.0-91-generic is too old for the XDP engine: it takes 6.1 or newer';
    assert.equal(kernelTooOld('5.15.0-91-generic'), sentence);
    for (const release of ['6.1.0-18-amd64', '6.18.44-fc-v657', '10.0']) assert.equal(kernelTooOld(release), undefined);
  });
});

test('how many CPUs there may be', () => {
  for (const [list, count] of [
    ['0\n', 1],
    ['0-3\n', 4],
    ['0-3,8-11,15\n', 9],
  ] as const) {
    assert.equal(countCpus(list), count);
  }
});

test('programs on an interface, as rtnetlink tells them', () => {
  const attribute = (type: number, value: number): number[] => [8, 0, type, 0, value, 0, 0, 0];
  const attached = [5, 0, 2, 0, 1, 0, 0, 0];
  assert.deepEqual(parseXdpPrograms(Uint8Array.from([...attached, ...attribute(5, 7)])), { native: 7 });
  assert.deepEqual(parseXdpPrograms(Uint8Array.from([...attached, ...attribute(6, 9)])), { generic: 9 });
  assert.deepEqual(parseXdpPrograms(Uint8Array.from([...attached, ...attribute(7, 3)])), { native: 3 });
  assert.deepEqual(parseXdpPrograms(Uint8Array.from([...attached])), {});
  assert.deepEqual(parseXdpPrograms(Uint8Array.from([9, 0, 5, 0])), {});
});
