// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RouterAssignment } from '../../../src/director/address-plan.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { readSealedText, sealText } from '../../../src/platform/linux/process/sealed-text.ts';
import { VrrpSupervisor, type VrrpSupervisorParts } from '../../../src/processes/vrrp/supervisor.ts';
import type { Predecessor } from '../../../src/succession/predecessor.ts';
import { eventually } from '../../support/namespaces.ts';
import { router } from '../director/configurations.ts';

const script = fileURLToPath(new URL('./vrrp-process-double.js', import.meta.url));
const assignment: RouterAssignment = {
  router: router('web', 51, ['192.0.2.10', '192.0.2.99']),
  leaseSlot: 3,
  installed: new Set(['192.0.2.99' as IpAddress]),
};

const calls: string[] = [];
const logged: string[] = [];
let supervisor: VrrpSupervisor;
let leaseFd: number;

beforeEach(() => {
  calls.length = 0;
  logged.length = 0;
  leaseFd = openSync('/dev/null', 'r');
});
afterEach(async () => {
  await supervisor.stop();
  closeSync(leaseFd);
});

/** Over a process that behaves as `manner` says. */
function supervise(manner: string, more: Partial<VrrpSupervisorParts> = {}): VrrpSupervisor {
  supervisor = new VrrpSupervisor({
    script,
    arguments: [manner],
    leaseFd,
    leaseWriter: {
      grant: () => assert.fail('only the vrrp process grants leases'),
      revoke: (slot) => void calls.push(`revoke ${slot}`),
    },
    addressKeeper: {
      add: () => assert.fail('only the vrrp process adds addresses'),
      remove: (address, length, name) => void calls.push(`remove ${address}/${length} ${name}`),
    },
    openTransport: () => ({
      open: (name) => {
        calls.push(`open ${name}`);
        return '192.0.2.2' as IpAddress;
      },
      send: (name, _family, message, onSent) => {
        calls.push(`send ${name} vrid ${message[1]} priority ${message[2]}`);
        onSent();
      },
      onReceive: () => undefined,
      close: () => void calls.push('close'),
    }),
    log: (level, message) => void logged.push(`${level} ${message}`),
    ...more,
  });
  return supervisor;
}

const runDirectory = '/run/of/nobody';
const holding = (text: string) => ({
  label: `of ${text}`,
  descriptors: [{ name: 'leases', fd: sealText('map', text) }],
});

/** One that the third director that fetched may replace. */
const predecessor = (): Predecessor => ({
  processId: 1,
  label: '',
  descriptors: [],
  record: { gateOpen: false, routers: [] },
  successorNumber: 3,
  dismiss: () => Promise.resolve(void calls.push('dismissed')),
});

const pidOf = async (): Promise<number> => (await supervisor.status())[0]!.priority;

test('the vrrp process waits for no thread of ordinary priority when it collects garbage', async () => {
  await supervise('obedient').configure([assignment]);
  const [status] = await supervisor.status();
  const words = readFileSync(`/proc/${status!.priority}/cmdline`, 'utf8').split('\0');
  assert.ok(words.includes('--single-threaded-gc'), words.join(' '));
});

test('a process that dies is resigned for, leases first, and started again with its configuration', async () => {
  await supervise('obedient').configure([assignment]);
  const pid = await pidOf();
  process.kill(pid, 'SIGKILL');
  await eventually(() => logged.length > 0);
  assert.deepEqual(calls, [
    'revoke 3',
    'remove 192.0.2.99/24 eth0',
    'open eth0',
    'send eth0 vrid 51 priority 0',
    'close',
  ]);
  assert.deepEqual(logged, ['error the vrrp process ended (SIGKILL); resigned in its name, starting it again']);
  // A request before it runs again is refused, or answered by the next vrrp process.
  const again = await eventuallyAnswered(pid);
  assert.notEqual(again, pid);
});

test('a reload while it is being started again starts no second one', async () => {
  await supervise('obedient').configure([assignment]);
  const pid = await pidOf();
  process.kill(pid, 'SIGKILL');
  await eventually(() => logged.length > 0);
  await supervisor.configure([assignment]);
  const second = await pidOf();
  await supervisor.configure([assignment]);
  // Longer than the first delay, after which the restart would have come.
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.equal(await pidOf(), second);
});

test('one that lacks something to start says it in its own words, and is not started again', async () => {
  await assert.rejects(supervise('unable').configure([assignment]), { message: 'CAP_NET_RAW is missing' });
  assert.deepEqual(logged, []);
});

test('one that ends before it is ready is an error of the start', async () => {
  await assert.rejects(supervise('short-lived').configure([assignment]), {
    message: 'the vrrp process ended while starting (3)',
  });
});

test('an interface that cannot be used is the error of the configuration, said once', async () => {
  await assert.rejects(supervise('faulty').configure([assignment]), { message: 'there is no interface eth0' });
});

test('the gate that moved before there was a process is told to it', async () => {
  supervise('obedient').setGate(true);
  await supervisor.configure([assignment]);
  assert.equal((await supervisor.status())[0]!.name, 'gate true');
});

test('stopping ends the process, also one that has just died', async () => {
  await supervise('obedient').configure([assignment]);
  const pid = await pidOf();
  process.kill(pid, 'SIGKILL');
  await supervisor.stop();
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

test('descriptors for a successor are passed to every process, and again when they change', async () => {
  const first = holding('one');
  await supervise('obedient', { forSuccessor: { ...first, runDirectory } }).configure([assignment]);
  const [status] = await supervisor.status();
  assert.equal(status?.interface, `${runDirectory}, of one, leases one`);
  await supervisor.changeForSuccessor(holding('two'));
  assert.equal((await supervisor.status())[0]?.interface, `${runDirectory}, of two, leases two`);
  process.kill(status.priority, 'SIGKILL');
  await eventually(() => logged.length > 0);
  await eventuallyAnswered(status.priority);
  assert.equal((await supervisor.status())[0]?.interface, `${runDirectory}, of two, leases two`);
});

test('without descriptors for a successor there is no line to pass any', async () => {
  await supervise('obedient').configure([assignment]);
  assert.equal((await supervisor.status())[0]?.interface, 'nothing');
  await assert.rejects(supervisor.changeForSuccessor(holding('one')), {
    message: 'the vrrp process was not set up to hold descriptors',
  });
});

test('the first process goes on in the place of the one that outlived a director, and no further one does', async () => {
  supervise('obedient', { forSuccessor: { ...holding('one'), runDirectory }, predecessor: predecessor() });
  await supervisor.configure([assignment]);
  const [status] = await supervisor.status();
  assert.deepEqual([status?.vrid, calls], [3, ['dismissed']]);
  await supervisor.configure([assignment]);
  assert.equal((await supervisor.status())[0]?.vrid, 0);
});

test('where nothing would outlive this director, the process that outlived one before it is sent away first', async () => {
  const { descriptors } = holding('one');
  supervise('unable', { predecessor: { ...predecessor(), descriptors } });
  await assert.rejects(supervisor.configure([assignment]), { message: 'CAP_NET_RAW is missing' });
  assert.deepEqual(calls, ['dismissed']);
  // The number may be that of another file by now.
  assert.equal(readSealedText(descriptors[0]!.fd, 100), undefined);
});

test('a process that dies before it goes on is not resigned for, since the one before it is still active', async () => {
  supervise('frail', { forSuccessor: { ...holding('one'), runDirectory }, predecessor: predecessor() });
  await assert.rejects(supervisor.configure([assignment]), { message: 'the vrrp process ended' });
  assert.deepEqual(calls, []);
  assert.deepEqual(logged, ['error the vrrp process ended (SIGKILL); starting it again']);
});

test('a director that stops before anybody went on sends the one before away', async () => {
  supervise('obedient', { forSuccessor: { ...holding('one'), runDirectory }, predecessor: predecessor() });
  await supervisor.stop();
  assert.deepEqual(calls, ['dismissed']);
});

async function eventuallyAnswered(former: number): Promise<number> {
  let pid: number | undefined;
  const ask = (): void => {
    supervisor.status().then(
      (status) => {
        pid = status[0]?.priority;
        if (pid === undefined || pid === former) setTimeout(ask, 5);
      },
      () => setTimeout(ask, 5),
    );
  };
  ask();
  return eventually(() => (pid === former ? undefined : pid));
}
