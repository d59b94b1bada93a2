// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assign, factsOf } from '../../support/election.ts';
import { assertTranscript } from '../../support/transcript.ts';
import { type Director, Lab } from './lab.ts';

/** Runs a story, compares it with its file, and holds it to one lease at a time. */
function story(name: string, tell: (lab: Lab) => void): void {
  test(name, () => {
    const lab = new Lab();
    tell(lab);
    assert.deepEqual(lab.violations, []);
    assertTranscript(lab.story(), `test/transcript/vrrp/${name.replaceAll(' ', '-')}.txt`);
  });
}

function pair(lab: Lab): [Director, Director] {
  const a = lab.add('a', { priority: 150 });
  const b = lab.add('b', { priority: 100 });
  lab.settled(a, b);
  return [a, b];
}

function resigns(message: Uint8Array): boolean {
  return message[2] === 0;
}

story('cold start of two', (lab) => {
  const a = lab.add('a', { priority: 150 });
  const b = lab.add('b', { priority: 100 });
  lab.say('both start, gates closed; nobody is active');
  lab.start(a);
  lab.start(b);
  lab.pass(6000);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [true, false]);
});

story('kill', (lab) => {
  const [a] = pair(lab);
  lab.pass(50);
  lab.kill(a);
  lab.pass(600);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [false, true]);
});

story('handover', (lab) => {
  const [a] = pair(lab);
  lab.pass(50);
  const askedMs = lab.time.nowMs();
  lab.say('a hands over on purpose');
  a.election.handOver();
  const taken = lab.time.runUntil(() => lab.leaseValid('b'), askedMs + 1000);
  assert.ok(taken);
  assert.ok(lab.time.nowMs() - askedMs <= 10 + 0.2, `the gap was ${lab.time.nowMs() - askedMs} ms`);
  lab.pass(1000);
  lab.say('b is asked to give the role back');
  a.election.releaseHold();
  lab.pass(600);
});

story('graceful stop', (lab) => {
  const [a] = pair(lab);
  lab.say('a stops for good');
  void a.election.stop();
  lab.pass(400);
});

story('failback with gate', (lab) => {
  const b = lab.add('b', { priority: 100 });
  lab.settled(b);
  lab.say('a, of higher priority, comes back; its table is empty, so its gate is closed');
  const a = lab.add('a', { priority: 150 });
  lab.start(a);
  lab.pass(2000);
  assert.equal(lab.leaseValid('a'), false);
  lab.say('the table of a is a proven copy: its gate opens');
  a.election.setGate(true);
  lab.pass(800);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [true, false]);
});

story('gate closed but nobody else alive', (lab) => {
  const b = lab.add('b', { priority: 100 });
  lab.settled(b);
  const a = lab.add('a', { priority: 150 });
  lab.start(a);
  lab.pass(1000);
  lab.kill(b);
  lab.pass(600);
  assert.equal(lab.leaseValid('a'), true);
});

story('freeze and continue', (lab) => {
  const [a] = pair(lab);
  lab.pass(50);
  lab.say('a is frozen');
  a.host.freeze();
  lab.pass(3000);
  lab.say('a goes on: it must be silent');
  a.host.thaw();
  assert.equal(factsOf(a.election)[0]?.state, 'backup');
  lab.pass(250);
  lab.say('and may preempt once its active down interval is over');
  lab.pass(400);
});

story('frozen backup', (lab) => {
  const [, b] = pair(lab);
  lab.say('b, the backup, is frozen');
  b.host.freeze();
  lab.pass(3000);
  lab.say('b goes on; the advertisements of a lie unread');
  b.host.thaw();
  lab.pass(500);
  assert.equal(factsOf(b.election)[0]?.state, 'backup');
});

story('both stall', (lab) => {
  const [a, b] = pair(lab);
  lab.say('both stand still');
  for (const { host } of [a, b]) host.freeze();
  lab.pass(3000);
  lab.say('both go on: neither knows whether it missed a takeover');
  for (const { host } of [b, a]) host.thaw();
  lab.pass(2000);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [true, false]);
  assert.doesNotMatch(lab.story(), / {2}b {2}lease begins/);
});

story('both stall and one dies meanwhile', (lab) => {
  const [a, b] = pair(lab);
  lab.say('both stand still, and a dies');
  b.host.freeze();
  a.host.kill();
  lab.pass(3000);
  lab.say('b goes on');
  b.host.thaw();
  lab.pass(500);
  assert.equal(lab.leaseValid('b'), true);
});

story('split brain and healing', (lab) => {
  pair(lab);
  lab.say('a and b no longer hear each other');
  lab.segment.partition(['a'], ['b']);
  lab.pass(1000);
  lab.say('they do again');
  lab.segment.heal();
  lab.tolerateUntilMs = lab.time.nowMs() + 100;
  lab.pass(6000);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [true, false]);
});

story('equal priorities', (lab) => {
  const a = lab.add('a', { priority: 100 });
  const b = lab.add('b', { priority: 100 });
  lab.say('both time out at the same moment; the greater address wins before anybody holds anything');
  lab.start(a);
  lab.start(b);
  lab.pass(1000);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [false, true]);
});

story('priority 0 lost on the way', (lab) => {
  const [a] = pair(lab);
  lab.segment.loses = ({ message }) => resigns(message);
  lab.say('a hands over; its priority 0 gets lost');
  a.election.handOver();
  lab.pass(300);
  assert.equal(lab.leaseValid('b'), true);
});

story('both farewells lost on the way', (lab) => {
  const [a] = pair(lab);
  lab.segment.loses = ({ from }) => from === 'a';
  lab.say('a hands over; nothing of it arrives');
  a.election.handOver();
  lab.pass(500);
  assert.equal(lab.leaseValid('b'), true);
});

story('nopreempt', (lab) => {
  const b = lab.add('b', { priority: 100 });
  lab.settled(b);
  const a = lab.add('a', { priority: 150, preempt: false });
  lab.say('a comes back with nopreempt');
  lab.start(a);
  a.election.setGate(true);
  lab.pass(3000);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [false, true]);
});

story('preempt delay', (lab) => {
  const b = lab.add('b', { priority: 100 });
  lab.settled(b);
  const a = lab.add('a', { priority: 150, preemptDelayMs: 2000 });
  lab.say('a comes back with preempt_delay 2');
  lab.start(a);
  a.election.setGate(true);
  lab.pass(3000);
  assert.equal(lab.leaseValid('a'), true);
});

story('preemption whose first advertisements get lost', (lab) => {
  const b = lab.add('b', { priority: 100 });
  lab.settled(b);
  const a = lab.add('a', { priority: 150 });
  let lost = 0;
  lab.segment.loses = ({ from }) => from === 'a' && lost++ < 2;
  lab.start(a);
  a.election.setGate(true);
  lab.say('the first two advertisements of a get lost');
  lab.pass(600);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [true, false]);
});

story('sends fail', (lab) => {
  const [a] = pair(lab);
  lab.say('the network of a refuses to send');
  a.port.sendError = new Error('network is unreachable');
  lab.pass(600);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [false, true]);
});

story('link down and up', (lab) => {
  const [a] = pair(lab);
  lab.say('the link of a goes down');
  lab.segment.partition(['b']);
  a.election.observe({ kind: 'link', interface: 'eth0', up: false });
  lab.pass(500);
  lab.say('and up again');
  lab.segment.heal();
  a.election.observe({ kind: 'link', interface: 'eth0', up: true });
  lab.pass(700);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [true, false]);
});

story('reload', (lab) => {
  const [a] = pair(lab);
  lab.say('a reloads: another interval, one address less');
  a.election.configure([assign({ ...a.router, advertIntervalMs: 50, addresses: a.router.addresses.slice(0, 1) })]);
  lab.pass(500);
  lab.say('a reloads: a priority below that of b');
  a.election.configure([assign({ ...a.router, priority: 50, addresses: a.router.addresses })]);
  lab.pass(700);
  assert.deepEqual([lab.leaseValid('a'), lab.leaseValid('b')], [false, true]);
});

story('three directors', (lab) => {
  const a = lab.add('a', { priority: 150 });
  const b = lab.add('b', { priority: 100 });
  const c = lab.add('c', { priority: 50 });
  lab.settled(a, b, c);
  lab.kill(a);
  lab.pass(700);
  lab.kill(b);
  lab.pass(700);
  assert.equal(lab.leaseValid('c'), true);
});
