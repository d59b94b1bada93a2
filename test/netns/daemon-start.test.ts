// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';
import {
  addressesOn,
  baton,
  Daemon,
  directorAddresses,
  type Finished,
  pairConfiguration,
  virtualAddress,
  Workplace,
} from './daemon-bench.ts';

const skip = namespacesUnavailable();

describe('a director that cannot start says why in one sentence and leaves nothing behind', { skip }, () => {
  const network = new Network();
  const workplace = skip === false ? new Workplace() : undefined!;
  let namespace: Namespace;

  before(() => {
    namespace = network.namespace('lone');
    const other = network.namespace('other');
    network.join([namespace, 'eth0'], [other, 'eth0']);
    network.join([namespace, 'eth1'], [other, 'eth1']);
    namespace.ip('addr', 'add', `${directorAddresses.a}/24`, 'dev', 'eth0');
    namespace.ip('addr', 'add', '10.8.0.2/24', 'dev', 'eth1');
  });
  after(() => {
    network.remove();
    workplace.remove();
  });

  const configuration = pairConfiguration({ priority: 100 });

  /** Runs it to its end in a run-dir of its own, and checks that neither socket, address nor process is left. */
  async function refused(name: string, text: string, args: readonly string[] = []): Promise<Finished> {
    const file = workplace.write(`${name}.conf`, text);
    const before = addressesOn(namespace, 'eth0');
    const daemon = new Daemon(namespace, workplace.directory(name), ['run', '-f', file, ...args]);
    const finished = await daemon.finished;
    assert.deepEqual(addressesOn(namespace, 'eth0'), before);
    assert.equal(existsSync(`${workplace.directory(name)}/control.sock`), false);
    assert.throws(() => process.kill(-daemon.pid, 0), { code: 'ESRCH' });
    return finished;
  }

  async function refusal(name: string, text: string): Promise<string> {
    const { code, signal, stderr } = await refused(name, text);
    assert.deepEqual({ code, signal }, { code: 1, signal: null }, stderr);
    return stderr;
  }

  test('every problem of a configuration is named with its place; nothing is started', async () => {
    const text = ['vrrp_instance web {', ' interface eth0', ' virtual_router_id 300', ' prioritty 100', '}', ''].join(
      '\n',
    );
    const finished = await refused('faulty', text);
    assert.equal(finished.code, 1);
    assert.equal(finished.stdout, '');
    const file = `${workplace.path}/faulty.conf`;
    assert.deepEqual(
      finished.stderr.split('\n').map((line) => line.replace(/(: (error|warning)): .*/, '$1')),
      [
        `${file}:1:15: error`,
        `${file}:3:20: error`,
        `${file}:4:2: error`,
        'baton run: nothing was started, because the configuration has errors',
        '',
      ],
      finished.stderr,
    );
    assert.deepEqual(readdirSync(workplace.path).includes('faulty'), false);
  });

  test('an unreadable file and wrong usage are exit code 2', () => {
    const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [baton, ...args], { encoding: 'utf8' });
      return { status, stdout, stderr };
    };
    const usage = (stderr: string): object => ({ status: 2, stdout: '', stderr: `${stderr}\n` });
    const absent = `${workplace.path}/absent.conf`;
    assert.deepEqual(run('run', '-f', absent), usage(`baton run: cannot read ${absent}: it does not exist`));
    assert.deepEqual(run('run'), usage('baton run: name the configuration with -f FILE'));
    assert.deepEqual(run('run', '--fast'), usage("baton run: Unknown option '--fast'; see baton --help"));
    assert.deepEqual(run('walk'), usage('baton: there is no command walk; see baton --help'));
    assert.deepEqual(
      run('run', '-f', absent, '--engine', 'ipvs'),
      usage('baton run: there is no engine ipvs; there are auto, xdp, portable'),
    );
  });

  test('baton check exits with 0, 1 or 2', () => {
    const check = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [baton, 'check', ...args], { encoding: 'utf8' });
      return { status, stdout, stderr };
    };
    const good = workplace.write('good.conf', configuration);
    const bad = workplace.write('bad.conf', 'global_defs {\n router_idd x\n}\n');
    const absent = `${workplace.path}/absent.conf`;
    assert.deepEqual(check('-f', good), { status: 0, stdout: '', stderr: '' });
    assert.deepEqual(check('-f', good, '--json'), { status: 0, stdout: '[]\n', stderr: '' });
    const text = 'unknown keyword "router_idd": did you mean router_id?';
    assert.deepEqual(check('-f', bad), { status: 1, stdout: `${bad}:2:2: error: ${text}\n`, stderr: '' });
    const json = check('-f', bad, '--json');
    assert.equal(json.status, 1);
    assert.deepEqual(JSON.parse(json.stdout), [{ file: bad, line: 2, column: 2, severity: 'error', text }]);
    assert.deepEqual(check('-f', absent), {
      status: 2,
      stdout: '',
      stderr: `baton check: cannot read ${absent}: it does not exist\n`,
    });
  });

  test('a missing interface', async () => {
    const text = configuration.replaceAll('eth0', 'eth7');
    const sentence = 'there is no interface eth7; create it, or correct the name in the configuration';
    assert.equal(await refusal('no-interface', text), `baton run: ${sentence}\n`);
  });

  test('a missing interface of a vrrp_instance without virtual services', async () => {
    const text = pairConfiguration({ priority: 100, ports: [], sync: false }).replaceAll('eth0', 'eth7');
    const sentence = 'there is no interface eth7; create it, or correct the name in the configuration';
    assert.equal(await refusal('no-vrrp-interface', text), `baton run: ${sentence}\n`);
  });

  test('a missing interface of connection synchronisation', async () => {
    const text = pairConfiguration({ priority: 100, sync: 'eth7 web id 7' });
    const sentence = 'there is no interface eth7; create it, or correct the name in the configuration';
    assert.equal(await refusal('no-sync-interface', text), `baton run: ${sentence}\n`);
  });

  test('a virtual address that is on an interface already', async () => {
    namespace.ip('addr', 'add', `${virtualAddress}/32`, 'dev', 'eth0');
    try {
      const sentence =
        `${virtualAddress} is on eth0 already, whose kernel would reset its connections; ` +
        `take it off: ip address del ${virtualAddress}/LENGTH dev eth0`;
      assert.equal(await refusal('held', configuration), `baton run: ${sentence}\n`);
    } finally {
      namespace.ip('addr', 'del', `${virtualAddress}/32`, 'dev', 'eth0');
    }
  });

  test('forwarding switched on', async () => {
    namespace.run('sysctl', '-qw', 'net.ipv4.conf.eth0.forwarding=1');
    try {
      const sentence =
        'net.ipv4.conf.eth0.forwarding is on, so the kernel would forward the packets of virtual services beside the ' +
        'portable engine; switch it off: sysctl -w net.ipv4.conf.eth0.forwarding=0';
      assert.equal(await refusal('forwarding', configuration), `baton run: ${sentence}\n`);
    } finally {
      namespace.run('sysctl', '-qw', 'net.ipv4.conf.eth0.forwarding=0');
    }
  });

  for (const [name, text] of [
    ['with virtual services', configuration],
    ['with VRRP alone', pairConfiguration({ priority: 100, ports: [], sync: false })],
  ] as const) {
    test(`a missing privilege, ${name}`, async () => {
      const runDirectory = workplace.directory('without');
      const file = workplace.write('without.conf', text);
      // Another user might not be able to read this checkout.
      const prefix = ['setpriv', '--bounding-set=-net_raw', '--inh-caps=-net_raw'];
      const daemon = new Daemon(namespace, runDirectory, ['run', '-f', file], { prefix });
      const { code, stderr } = await daemon.finished;
      assert.equal(code, 1, stderr);
      assert.match(stderr, /^baton run: [^\n]*CAP_NET_RAW[^\n]*\n$/);
      assert.equal(existsSync(`${runDirectory}/control.sock`), false);
    });
  }

  test('a second director on the same run-dir; the first does not notice', async () => {
    const file = workplace.write('first.conf', configuration);
    const first = Daemon.run(namespace, workplace.directory('shared'), file);
    try {
      await first.running();
      const { code, stderr, stdout } = await Daemon.run(namespace, workplace.directory('shared'), file).finished;
      assert.deepEqual(
        { code, stdout, stderr },
        {
          code: 1,
          stdout: '',
          stderr:
            `baton run: another director runs with ${workplace.directory('shared')} (process ${first.pid}); ` +
            'stop it, or give this one another --run-dir\n',
        },
      );
      assert.equal((await first.status()).processId, first.pid);
    } finally {
      await first.kill();
    }
  });

  test('a run-dir whose lock is a link; what it points to stays as it was', async () => {
    const precious = workplace.write('precious', 'precious\n');
    const runDirectory = workplace.directory('linked');
    mkdirSync(runDirectory);
    symlinkSync(precious, `${runDirectory}/lock`);
    const sentence = `${runDirectory}/lock is a symbolic link, which no director makes; remove it, or name another --run-dir`;
    assert.equal(await refusal('linked', configuration), `baton run: ${sentence}\n`);
    assert.equal(readFileSync(precious, 'utf8'), 'precious\n');
  });

  test('an empty configuration is a warning, and runs as one of keepalived does', async () => {
    const file = workplace.write('empty.conf', '# nothing\n');
    const daemon = Daemon.run(namespace, workplace.directory('empty'), file);
    try {
      await daemon.running();
      daemon.signal('SIGTERM');
      const { code, stderr } = await daemon.finished;
      assert.equal(code, 0);
      assert.match(stderr, /^[^\n]*empty\.conf:1:1: warning: no statement is in force [^\n]*\n$/);
    } finally {
      await daemon.kill();
    }
  });

  test('the port of connection synchronisation in use', async () => {
    const script = "require('node:dgram').createSocket('udp4').bind(8848, () => console.log('bound'))";
    const holder = namespace.spawn(process.execPath, '-e', script);
    try {
      await new Promise((resolve) => holder.stdout!.once('data', resolve));
      const sentence =
        'UDP port 8848 of 224.0.0.81 on eth0 is in use; stop the other director or sync daemon, or set another port ' +
        'in lvs_sync_daemon';
      assert.equal(await refusal('port', configuration), `baton run: ${sentence}\n`);
    } finally {
      holder.kill('SIGKILL');
    }
  });
});
