// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, chownSync, cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { attachXdp } from '../../src/platform/linux/bpf/attachment.ts';
import { loadPassProgram } from '../../src/platform/linux/bpf/pass-program.ts';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import { queryXdp } from '../../src/platform/linux/bpf/xdp-netlink.ts';
import { interfaceFacts } from '../../src/platform/linux/netlink/interface-facts.ts';
import { eventually, namespacesUnavailable } from '../support/namespaces.ts';
import { addressesOn, baton, Daemon, directorAddresses, PairBench, pairConfiguration } from './daemon-bench.ts';

const usability = probeXdp();
const skip = namespacesUnavailable() || (usability.usable ? false : usability.reason);
const built = fileURLToPath(new URL('../..', import.meta.url));
const objectInBuild = 'src/engine/xdp/bpf/baton.bpf.o';
const nobody = 65_534;
const unitCapabilities = ['bpf', 'net_admin', 'net_raw'];

describe('a director with the xdp engine', { skip }, () => {
  let bench: PairBench;
  const daemons: Daemon[] = [];
  const file = (): string => bench.workplace.write('xdp.conf', pairConfiguration({ priority: 100, sync: false }));
  let runs = 0;
  const freshDirectory = (): string => {
    runs += 1;
    return bench.workplace.directory(`xdp${runs}`);
  };
  const start = (
    runDirectory: string,
    args: readonly string[] = ['--engine', 'xdp'],
    prefix: readonly string[] = [],
  ) => {
    const daemon = new Daemon(bench.a, runDirectory, ['run', '-f', file(), ...args], { prefix });
    daemons.push(daemon);
    return daemon;
  };
  const attached = (): number | undefined => bench.a.enter(() => queryXdp(interfaceFacts('eth0').index)?.native);
  /** A connection of the virtual service, half of it: its SYN is lost behind the director. */
  const connections = async (daemon: Daemon): Promise<number> => {
    const { engine } = await daemon.status();
    return engine.halfOpenConnections + engine.establishedConnections;
  };

  before(() => {
    bench = new PairBench();
    bench.hub.enter(() => attachXdp({ fd: loadPassProgram() }, interfaceFacts('to-a').index));
  });
  afterEach(async () => {
    await Promise.all(daemons.splice(0).map((daemon) => daemon.kill()));
    await bench.clear();
    await eventually(() => attached() === undefined);
  });
  after(() => bench.remove());

  test('SIGTERM takes the program off, and leaves nothing', async () => {
    const daemon = start(freshDirectory());
    await daemon.active();
    assert.equal((await daemon.status()).engine.kind, 'xdp');
    assert.notEqual(attached(), undefined);
    daemon.signal('SIGTERM');
    assert.equal((await daemon.finished).code, 0);
    assert.equal(attached(), undefined);
    assert.deepEqual(addressesOn(bench.a, 'eth0'), [directorAddresses.a]);
    assert.deepEqual(readdirSync(daemon.runDirectory), ['lock']);
  });

  test('kill -9 and a start: the same program goes on, with its connections, and never without the address', async () => {
    await bench.startRealServer(0);
    const directory = freshDirectory();
    const killed = start(directory);
    await killed.active();
    bench.client.run('ethtool', '-K', 'eth0', 'tx', 'off');
    bench.realServers[0]!.run('ethtool', '-K', 'eth0', 'tx', 'off');
    const session = bench.session();
    assert.match(await session.ask('before'), /rs0 before|rs1/);
    const [program, known] = [attached(), await connections(killed)];
    assert.equal(known, 1);
    killed.signal('SIGKILL');
    await new Promise((resolve) => killed.child.once('exit', resolve));
    assert.equal(await session.ask('meanwhile'), 'rs0 meanwhile');
    const next = start(directory);
    await next.logged(/^goes on with the connections of the former director$/);
    await next.active();
    assert.equal(attached(), program);
    assert.equal(await connections(next), known);
    assert.equal(await session.ask('after'), 'rs0 after');
    next.signal('SIGTERM');
    assert.equal((await next.finished).code, 0);
    assert.equal(attached(), undefined);
  });

  test('a start of another version: its program takes the place of the former one, the connections go on', async () => {
    const directory = freshDirectory();
    const killed = start(directory);
    await killed.active();
    const session = bench.session();
    assert.equal(await session.ask('before'), 'rs0 before');
    const former = attached();
    killed.signal('SIGKILL');
    await new Promise((resolve) => killed.child.once('exit', resolve));
    const other = new Daemon(bench.a, directory, ['run', '-f', file(), '--engine', 'xdp'], {
      script: anotherVersion(),
    });
    daemons.push(other);
    await other.logged(/version of the XDP program was replaced, its connections go on$/);
    await other.active();
    assert.notEqual(attached(), former);
    assert.equal(await session.ask('after'), 'rs0 after');
    assert.equal(await connections(other), 1);
  });

  test('--cleanup ends what a killed director has left', async () => {
    const directory = freshDirectory();
    const killed = start(directory);
    await killed.active();
    killed.signal('SIGKILL');
    await new Promise((resolve) => killed.child.once('exit', resolve));
    assert.notEqual(attached(), undefined);
    const cleaner = new Daemon(bench.a, directory, ['run', '--cleanup']);
    assert.equal((await cleaner.finished).code, 0);
    await eventually(() => attached() === undefined);
  });

  test('a user with CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW alone', async () => {
    const directory = freshDirectory();
    mkdirSync(directory, { mode: 0o700 });
    chownSync(directory, nobody, nobody);
    chmodSync(bench.workplace.path, 0o755);
    const list = unitCapabilities.map((name) => `+${name}`).join(',');
    const daemon = start(
      directory,
      ['--engine', 'xdp'],
      [
        ...['setpriv', '--reuid', String(nobody), '--regid', String(nobody), '--clear-groups'],
        ...['--inh-caps', list, '--ambient-caps', list, '--bounding-set', `-all,${list}`],
      ],
    );
    await daemon.active();
    assert.equal((await daemon.status()).engine.kind, 'xdp');
    daemon.signal('SIGTERM');
    assert.equal((await daemon.finished).code, 0);
  });

  test('a recreated interface gets the program again', async () => {
    const daemon = start(freshDirectory());
    await daemon.active();
    bench.a.ip('link', 'delete', 'eth0');
    bench.network.join([bench.a, 'eth0'], [bench.hub, 'to-a']);
    bench.hub.ip('link', 'set', 'to-a', 'master', 'switch');
    bench.hub.enter(() => attachXdp({ fd: loadPassProgram() }, interfaceFacts('to-a').index));
    bench.a.ip('addr', 'add', `${directorAddresses.a}/24`, 'dev', 'eth0');
    await daemon.logged(/^interface eth0 was recreated; the engine forwards on it again$/);
    assert.notEqual(attached(), undefined);
    await daemon.active();
  });

  test('auto takes the portable engine on a veth, and says why', async () => {
    const daemon = start(freshDirectory(), ['--engine', 'auto']);
    await daemon.active();
    assert.equal((await daemon.status()).engine.kind, 'portable');
    await daemon.logged(/^the portable engine is used: eth0 is a veth, .*; --engine xdp uses it all the same$/);
  });

  test('another program on the interface: one sentence, and nothing is changed', async () => {
    const link = bench.a.enter(() => attachXdp({ fd: loadPassProgram() }, interfaceFacts('eth0').index).link);
    const before = attached();
    const daemon = start(freshDirectory());
    const { code, stderr } = await daemon.finished;
    assert.equal(code, 1);
    assert.match(
      stderr.split('\n').at(-2)!,
      /^baton run: cannot attach the XDP program to eth0: another program is there already \(id \d+, /,
    );
    assert.equal(attached(), before);
    link.detach();
    link.close();
  });

  /** The same build with another object: bytes behind an ELF file change its name, not what it does. */
  function anotherVersion(): string {
    const directory = bench.workplace.directory('other');
    mkdirSync(directory, { recursive: true });
    for (const name of readdirSync(built)) {
      if (name === 'src' || name === 'vrrp' || name === 'sync')
        cpSync(join(built, name), join(directory, 'dist', name), { recursive: true });
    }
    appendFileSync(join(directory, 'dist', objectInBuild), '\0');
    const root = findRoot(dirname(baton));
    for (const name of ['node_modules', 'package.json']) symlinkSync(join(root, name), join(directory, name));
    return join(directory, 'dist/src/main.js');
  }
});

/** The directory of the packages. */
function findRoot(from: string): string {
  return readdirSync(from).includes('node_modules') ? from : findRoot(dirname(from));
}
