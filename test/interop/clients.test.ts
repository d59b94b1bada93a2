// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ClientLab, type Forwarding, type Takeover } from './clients-lab.ts';
import {
  clientsUnavailable,
  copyLength,
  fileChecksum,
  finish,
  iperfLine,
  iperfSeconds,
  type Sessions,
  services,
  shellLines,
  startServers,
  startSessions,
} from './clients-sessions.ts';

// Programs that people use, with a session each through the virtual address when the active director is killed. They
// all run at once: one takeover carries them.

/** A query may be under way when the director dies, or reach its successor before the switch knows it. */
const edgeMs = 250;

interface DnsReport {
  readonly failures: readonly { readonly sentAtMs: number; readonly by: string; readonly reason: string }[];
  readonly wrong: readonly string[];
}

interface IperfInterval {
  readonly sum: { readonly start: number; readonly end: number; readonly bytes: number };
}

interface IperfReport {
  readonly error?: string;
  readonly intervals: readonly IperfInterval[];
  readonly server_output_text: string;
}

for (const forwarding of ['direct-route', 'masquerade'] as const) {
  describe(`real clients across a kill, ${forwarding}`, { skip: clientsUnavailable(), timeout: 60_000 }, () => {
    tellStory(forwarding);
  });
}

function tellStory(forwarding: Forwarding): void {
  let lab: ClientLab;
  let sessions: Sessions;
  let takeover: Takeover;
  const atKill = { shell: 0, dig: 0 };

  before(async () => {
    lab = new ClientLab(forwarding);
    const [iperfServers] = await Promise.all([startServers(lab), lab.startPair(Object.values(services))]);
    sessions = await startSessions(lab, iperfServers);
    takeover = await lab.killActive();
    assert.ok(sessions.iperf.running && sessions.copy.program.running, 'sessions ended before the takeover');
    atKill.shell = sessions.shell.output.length;
    atKill.dig = sessions.dig.answers.length;
  });

  after(() => lab?.remove());

  test('ssh: the command goes on, its output is whole and in order', async () => {
    const output = await sessions.shell.succeeds();
    assert.ok(atKill.shell < shellLines, 'it was over before the kill');
    assert.deepEqual(
      output,
      Array.from({ length: shellLines }, (_, index) => `line ${index + 1}`),
    );
  });

  test('scp: the copy is the file', async () => {
    const { program, source, target } = sessions.copy;
    await program.succeeds();
    assert.equal(fileChecksum(target), fileChecksum(source));
    assert.equal(copyLength, 50 * 1024 * 1024);
  });

  test('HTTP/1.1: downloads and uploads in one connection, none of them wrong', async () => {
    const report = (await finish(sessions.http)) as Record<'asked' | 'answered' | 'wrong' | 'bytesAfter', number>;
    assert.deepEqual([report.answered, report.wrong], [report.asked, 0]);
    assert.ok(report.bytesAfter > 0, 'nothing came after the kill');
  });

  test('WebSocket: every message is echoed, in order', async () => {
    const report = (await finish(sessions.websocket)) as Record<'sent' | 'echoed' | 'echoedBefore' | 'wrong', number>;
    assert.deepEqual([report.echoed, report.wrong], [report.sent, 0]);
    assert.ok(report.echoed > report.echoedBefore, 'nothing came after the kill');
  });

  let dns: Promise<unknown> | undefined;
  const dnsReport = async (): Promise<DnsReport> => {
    dns ??= finish(sessions.dns);
    return (await dns) as DnsReport;
  };
  const lostOutside = ({ failures }: DnsReport, by: string): DnsReport['failures'] => {
    const from = takeover.killedAtMs - edgeMs;
    const to = takeover.activeAtMs + edgeMs;
    return failures.filter(
      (each) => each.by === by && (each.sentAtMs < from || each.sentAtMs > to || each.reason !== 'ETIMEOUT'),
    );
  };

  test('DNS: queries of one flow are lost in the gap only, answers are never wrong', async () => {
    const report = await dnsReport();
    assert.deepEqual(report.wrong, []);
    assert.deepEqual(lostOutside(report, 'askSocket'), [], `the director dropped ${await lab.drops()}`);
    assert.ok(report.failures.length > 0, 'no query was lost: the kill did not happen among them');
  });

  test('DNS: queries in a flow of their own each are lost in the gap only', async () => {
    assert.deepEqual(lostOutside(await dnsReport(), 'askFlow'), [], `the director dropped ${await lab.drops()}`);
  });

  test("DNS: Node's resolver, which asks again, loses no query", async () => {
    const { failures } = await dnsReport();
    assert.deepEqual(
      failures.filter(({ by }) => by === 'askResolver'),
      [],
      `the director dropped ${await lab.drops()}`,
    );
  });

  test('dig: asked again, every question gets its answer', async () => {
    await sessions.dig.stop();
    const { answers } = sessions.dig;
    assert.ok(answers.length > atKill.dig, 'nothing was asked after the kill');
    assert.deepEqual(
      answers.filter(({ question, answer }) => question !== answer),
      [],
    );
  });

  test('iperf3: it ends without an error, and no second after the takeover is without bytes', async () => {
    const report = JSON.parse((await sessions.iperf.succeeds(20_000)).join('\n')) as IperfReport;
    assert.equal(report.error, undefined);
    const sent = report.intervals.map(({ sum }) => ({ ...sum }));
    const received = report.server_output_text.split('\n').flatMap((line) => {
      const [, start, end, amount] = iperfLine.exec(line) ?? [];
      return /sender|receiver/.test(line) || amount === undefined
        ? []
        : [{ start: Number(start), end: Number(end), bytes: Number(amount) }];
    });
    for (const intervals of [sent, received]) {
      assert.ok(intervals.length >= iperfSeconds, `${intervals.length} intervals`);
      // The gap is shorter than a second, so that no whole interval is empty.
      assert.deepEqual(
        intervals.filter(({ start, end, bytes }) => bytes === 0 && end - start > 0.5),
        [],
      );
    }
  });
}
