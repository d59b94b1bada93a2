// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, test } from 'node:test';
import { MappedArray } from '../../src/engine/xdp/mapped-array.ts';
import { eventOverruns, sumDrops, sumEvents } from '../../src/engine/xdp/tallies.ts';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import { openRingReader } from '../../src/platform/linux/bpf/ring-reader.ts';
import { writeIpv4Checksum } from '../../src/wire/ipv4.ts';
import {
  counted,
  ownMac,
  sceneFamilies,
  TableScene,
  tableConfiguration,
  tableFrames,
  virtualAddressBytes,
} from './xdp-table-scene.ts';

const xdp = probeXdp();
const skip = process.getuid?.() === 0 ? (xdp.usable ? false : xdp.reason) : 'needs root for a network namespace';
const frameCount = 200_000;
const lengthMax = 9_000;
const verdictNames = ['aborted', 'drop', 'pass', 'tx', 'redirect'] as const;

let state = 7;
/** A whole number below `end`. */
function random(end: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 0x1_0000_0000) * end);
}
const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)]!;
const noise = Uint8Array.from({ length: 4 * lengthMax }, () => random(256));

test('for any packet the program ends, counts a drop with its reason, and the kernel reports no fault', {
  skip,
}, async (t) => {
  const scene = new TableScene();
  after(() => scene.engine.close());
  await scene.engine.configure(tableConfiguration(0));
  const tallies = new MappedArray(scene.object.maps.get('tallies')!);
  const events = openRingReader(scene.object.maps.get('events')!);
  const missing = openRingReader(scene.object.maps.get('missing_neighbours')!);
  after(() => events.close());
  after(() => missing.close());
  const program = scene.object.programs.get('baton')!;
  const complaintsBefore = kernelComplaints();
  const known = tableFrames();
  const verdicts: Record<string, number> = {};
  for (let i = 0; i < frameCount; i += 1) {
    const { verdict } = program.run(anyFrame(known), { ingressInterface: scene.interfaceIndex });
    const name = verdictNames[verdict] ?? String(verdict);
    verdicts[name] = (verdicts[name] ?? 0) + 1;
    if (i % 256 !== 0) continue;
    scene.advance(10);
    scene.engine.tick();
    while (events.read(512, () => undefined) > 0);
    while (missing.read(512, () => undefined) > 0);
  }
  const drops = sumDrops(tallies);
  const answers = sumEvents(tallies);
  t.diagnostic(JSON.stringify({ verdicts, drops, answers }));
  assert.deepEqual(
    Object.keys(verdicts).filter((name) => !verdictNames.slice(1).includes(name as 'drop')),
    [],
  );
  // Every dropped packet is counted, and so are packets that are refused with an answer, which are no XDP_DROP.
  const counts = Object.values(drops).reduce((sum, count) => sum + count, 0);
  const answered = counts - verdicts.drop! - drops.vlanTagged - answers.resetsSent - answers.unreachablesSent;
  assert.ok(answered >= 0 && answered <= drops.ttlExceeded + drops.tooBig, `${answered} drops that were none`);
  assert.equal(eventOverruns(tallies), 0);
  const found = scene.recount();
  assert.deepEqual(counted(scene.object), { totals: found.totals, loads: found.loads });
  assert.deepEqual({ busy: found.busy, duplicates: found.duplicates }, { busy: 0, duplicates: 0 });
  const complaints = kernelComplaints();
  if (complaints === undefined || complaintsBefore === undefined) t.diagnostic('the kernel’s log cannot be read here');
  else assert.deepEqual(complaints.slice(complaintsBefore.length), []);
});

/** Random bytes, behind a valid Ethernet header, behind an IP header too, or a packet of a flow with damage. */
function anyFrame(known: readonly Uint8Array[]): Uint8Array {
  const kind = random(8);
  if (kind >= 4) return bent(pick(known), kind >= 6);
  const length = random(3) === 0 ? 14 + random(lengthMax - 13) : 14 + random(200);
  const at = random(noise.length - length);
  const frame = noise.slice(at, at + length);
  if (kind === 0) return frame;
  frame.set(
    pick([
      ownMac,
      ownMac,
      ownMac,
      Uint8Array.of(255, 255, 255, 255, 255, 255),
      Uint8Array.of(0x33, 0x33, 255, 0, 0, 0x80),
    ]),
  );
  frame.set(
    pick([
      [8, 0],
      [8, 0],
      [0x86, 0xdd],
      [0x86, 0xdd],
      [8, 6],
      [0x81, 0],
      [0x88, 0xa8],
    ]),
    12,
  );
  if (kind === 1 || length < 14 + 40) return frame;
  if (frame[12] === 8 && frame[13] === 0) {
    frame[14] = 0x40 | pick([5, 5, 5, 6, 15]);
    if (random(2) === 0) frame.set([(length - 14) >> 8, (length - 14) & 255], 16);
    if (random(3) > 0) frame.set([random(4) === 0 ? 0x20 : 0, random(4) === 0 ? random(256) : 0], 20);
    frame[23] = pick([1, 6, 17, random(256)]);
    frame.set(virtualAddressBytes(sceneFamilies[0]), 30);
    writeIpv4Checksum(frame, 14);
  } else if (frame[12] === 0x86) {
    frame[14] = 0x60;
    if (random(2) === 0) frame.set([(length - 54) >> 8, (length - 54) & 255], 18);
    frame[20] = pick([0, 43, 44, 51, 60, 6, 17, 58, random(256)]);
    frame.set(virtualAddressBytes(sceneFamilies[1]), 38);
    // Extension headers lead from one to the next.
    if (random(2) === 0)
      for (let i = 54; i < Math.min(length - 1, 200); i += 8) frame.set([pick([0, 43, 44, 60, 6]), random(3)], i);
  }
  return frame;
}

/** A good packet with some bytes changed, or of another length. */
function bent(good: Uint8Array, repaired: boolean): Uint8Array {
  const length = pick([
    good.length,
    good.length,
    good.length,
    14 + random(good.length - 13),
    good.length + random(lengthMax - good.length),
  ]);
  const frame = new Uint8Array(length);
  frame.set(good.subarray(0, length));
  for (let i = random(4); i > 0; i -= 1) frame[12 + random(Math.min(length, 90) - 12)] = pick([0, 255, random(256)]);
  const isIpv4 = frame[12] === 8 && frame[13] === 0;
  if (repaired && isIpv4 && length >= 34 && 14 + (frame[14]! & 15) * 4 <= length && (frame[14]! & 15) >= 5) {
    writeIpv4Checksum(frame, 14);
  }
  return frame;
}

/** Lines of the kernel's log that report a kernel fault; undefined when the log may not be read. */
function kernelComplaints(): string[] | undefined {
  const { status, stdout } = spawnSync('dmesg', [], { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (status !== 0) return undefined;
  return stdout.split('\n').filter((line) => /WARNING:|BUG:|Oops|general protection|rcu.*stall/.test(line));
}
