// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';

/** A moment at which a router said that the virtual addresses are its own, or that they no longer are. */
export interface Claim {
  readonly atMs: number;
  /** The Ethernet source: virtual MAC addresses are not in use. */
  readonly by: string;
  readonly kind: 'advertisement' | 'announcement' | 'resignation';
}

/** A time during which one router claimed the addresses. */
export interface Reign {
  readonly by: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Not what an ICMP error quotes: a host without a VRRP router answers unicast with one. */
const advertisement = '(vrrp && !icmp && !icmpv6)';
// epan/proto.h: PROTO_CHECKSUM_E_GOOD, PI_CHAT
const goodChecksum = '1';
const chatSeverity = String(0x0020_0000);

export function readClaims(file: string): Claim[] {
  const announcement = 'arp.isgratuitous == 1 || (icmpv6.type == 136 && icmpv6.nd.na.flag.s == 0)';
  const rows = readFields(file, `${advertisement} || ${announcement}`, ['frame.time_epoch', 'eth.src', 'vrrp.prio']);
  return rows.map(([time, by, priority]) => ({
    atMs: Number(time) * 1000,
    by: by!,
    kind: priority === '' ? 'announcement' : priority === '0' ? 'resignation' : 'advertisement',
  }));
}

/** tshark's complaints about the packets of one sender, each as a sentence, and the number of advertisements. */
export function readComplaints(file: string, sender: string): { complaints: string[]; advertisements: number } {
  const fields = [
    'frame.number',
    '_ws.expert.severity',
    '_ws.expert.message',
    'vrrp.checksum.status',
    'ip.ttl',
    'ipv6.hlim',
  ];
  const rows = readFields(file, `eth.src == ${sender} && (${advertisement} || arp || icmpv6.type == 136)`, fields);
  const complaints: string[] = [];
  let advertisements = 0;
  for (const [frame, severity, message, checksum, ttl, hopLimit] of rows) {
    if (message !== '' && severity !== chatSeverity) complaints.push(`frame ${frame}: ${message}`);
    if (checksum === '') continue;
    advertisements += 1;
    if (checksum !== goodChecksum) complaints.push(`frame ${frame}: VRRP checksum status ${checksum}`);
    if (`${ttl}${hopLimit}` !== '255') complaints.push(`frame ${frame}: TTL or hop limit ${ttl}${hopLimit}`);
  }
  return { complaints, advertisements };
}

/**
 * The reigns in order of time. Claims of one router belong together while they are less than `gapMs` apart, it has not
 * sent priority 0 between them, and no other router has claimed for longer than `transitionMs` in the meantime.
 */
export function reignsOf(claims: readonly Claim[], gapMs: number, transitionMs: number): Reign[] {
  const reigns: { by: string; fromMs: number; untilMs: number; over: boolean }[] = [];
  for (const { atMs, by, kind } of claims) {
    const last = reigns.findLast((reign) => reign.by === by);
    const rival = claims.find(
      (each) => each.by !== by && each.kind !== 'resignation' && each.atMs > (last?.untilMs ?? 0),
    );
    const contested = rival !== undefined && atMs - rival.atMs > transitionMs;
    if (last !== undefined && !last.over && !contested && atMs - last.untilMs < gapMs) {
      last.untilMs = atMs;
      last.over = kind === 'resignation';
    } else if (kind !== 'resignation') reigns.push({ by, fromMs: atMs, untilMs: atMs, over: false });
  }
  return reigns.map(({ by, fromMs, untilMs }) => ({ by, fromMs, untilMs }));
}

/** For how long two routers claimed the addresses at once, at the longest. */
export function longestOverlapMs(reigns: readonly Reign[]): number {
  let longest = 0;
  for (const [i, one] of reigns.entries()) {
    for (const other of reigns.slice(i + 1)) {
      if (one.by === other.by) continue;
      longest = Math.max(longest, Math.min(one.untilMs, other.untilMs) - Math.max(one.fromMs, other.fromMs));
    }
  }
  return longest;
}

function readFields(file: string, filter: string, fields: readonly string[]): string[][] {
  // That the address moves to another MAC address is the point of it, not a complaint.
  const preferences = ['-o', 'ip.check_checksum:TRUE', '-o', 'arp.detect_duplicate_ips:FALSE'];
  const options = [...preferences, '-T', 'fields', '-E', 'occurrence=a', '-E', 'separator=/t'];
  const output = execFileSync(
    'tshark',
    ['-r', file, ...options, '-Y', filter, ...fields.flatMap((name) => ['-e', name])],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 1 << 26,
    },
  );
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}
