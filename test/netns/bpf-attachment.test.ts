// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { BpfObject, XdpLink } from '../../src/engine/xdp/bpf-object.ts';
import { type AttachReason, attachXdp, loadAndAttach, openXdpLink } from '../../src/platform/linux/bpf/attachment.ts';
import { loadBpfObject } from '../../src/platform/linux/bpf/load.ts';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import { describeProgram } from '../../src/platform/linux/bpf/system-call.ts';
import { queryXdp, type XdpPrograms } from '../../src/platform/linux/bpf/xdp-netlink.ts';
import { fixtureObject } from '../support/bpf/objects.ts';
import { type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';

const probe = probeXdp();
const skip = namespacesUnavailable() || (probe.usable ? false : probe.reason);
const asSource = { constants: {}, mapSizes: {} };

describe('an XDP program on an interface', { skip }, () => {
  const network = new Network();
  let here: Namespace;
  let index: number;
  let object: BpfObject;
  let peers = 0;

  before(() => {
    object = loadBpfObject(asSource, { path: fixtureObject });
  });
  beforeEach(() => {
    peers += 1;
    here = network.namespace(`attach-${peers}`);
    network.join([here, 'eth0'], [network.namespace(`peer-${peers}`), 'eth0']);
    index = indexOf('eth0');
  });
  after(() => {
    object.close();
    network.remove();
  });

  const indexOf = (name: string): number => Number(here.run('cat', `/sys/class/net/${name}/ifindex`));
  const program = (name: string): { fd: number } => object.programs.get(name)!;
  const idOf = (name: string): number => describeProgram(program(name).fd)!.id;
  const query = (): XdpPrograms | undefined => here.enter(() => queryXdp(index));
  const attach = (mode?: 'native' | 'generic'): { link: XdpLink; warning: string | undefined } =>
    here.enter(() => attachXdp(program('count_packet'), index, mode));

  test('is attached in native mode, exchanged, and gone with the last descriptor', () => {
    assert.deepEqual(query(), {});
    const { link, warning } = attach();
    assert.deepEqual([link.mode, link.interfaceIndex, warning], ['native', index, undefined]);
    assert.deepEqual(query(), { native: idOf('count_packet') });
    link.replace(program('send_event'));
    assert.deepEqual(query(), { native: idOf('send_event') });
    const adopted = here.enter(() => openXdpLink(link.fd));
    assert.deepEqual([adopted.mode, adopted.interfaceIndex, adopted.isAttached()], ['native', index, true]);
    adopted.close();
    assert.deepEqual(query(), {});
  });

  test('is detached even if another process holds the link', () => {
    const { link } = attach('generic');
    assert.deepEqual([link.mode, query()], ['generic', { generic: idOf('count_packet') }]);
    assert.equal(here.enter(() => openXdpLink(link.fd)).mode, 'generic');
    link.detach();
    assert.deepEqual([query(), link.isAttached()], [{}, false]);
    link.close();
  });

  test('takes a program of its own with the interface; the link says so', () => {
    const { link } = attach();
    here.ip('link', 'del', 'eth0');
    assert.deepEqual([link.isAttached(), query()], [false, undefined]);
    refuses(
      'gone',
      `cannot exchange the XDP program: the interface with index ${index} has gone, and the program with it`,
      () => link.replace(program('send_event')),
    );
    link.close();
  });

  test('is refused in a sentence when another one is there, and that one stays', () => {
    const { link } = attach();
    const id = idOf('count_packet');
    refuses(
      'occupied',
      `cannot attach the XDP program to eth0: another program is there already (id ${id}, native mode); ` +
        `see \`bpftool prog show id ${id}\`, or remove it: ip link set dev eth0 xdp off`,
      () => here.enter(() => attachXdp(program('send_event'), index)),
    );
    assert.deepEqual(query(), { native: id });
    link.close();
  });

  test('is refused in a sentence when there is no such interface', () => {
    refuses('gone', 'cannot attach the XDP program: there is no interface with index 999999', () =>
      here.enter(() => attachXdp(program('count_packet'), 999_999)),
    );
  });

  test('is refused with the words of the driver when the MTU is too large for whole packets', () => {
    here.ip('link', 'set', 'eth0', 'mtu', '9000');
    const peer = network.namespace(`far-${peers}`);
    network.join([here, 'eth1'], [peer, 'eth1']);
    peer.ip('link', 'set', 'eth1', 'mtu', '9000');
    const whole = loadBpfObject(asSource, { path: fixtureObject, fragments: false });
    refuses(
      'mtu',
      /^cannot attach the XDP program to eth1: its MTU is too large for XDP in native mode \((veth: )?Peer MTU is too large to set XDP\); lower the MTU of eth1 \(or of its peer\)$/,
      () => here.enter(() => attachXdp(whole.programs.get('count_packet')!, indexOf('eth1'))),
    );
    // With fragments the same driver takes the same MTU.
    const { link } = here.enter(() => attachXdp(program('count_packet'), indexOf('eth1')));
    assert.equal(link.mode, 'native');
    link.close();
    whole.close();
  });

  test('goes to generic mode with a warning where the driver has no native one', () => {
    here.ip('link', 'add', 'br0', 'type', 'bridge');
    const {
      object: loaded,
      links,
      warnings,
    } = here.enter(() => loadAndAttach(asSource, 'count_packet', [index, indexOf('br0')], { path: fixtureObject }));
    assert.deepEqual(
      links.map(({ mode }) => mode),
      ['native', 'generic'],
    );
    assert.deepEqual(warnings, [
      'br0 does not take the XDP program in native mode (Underlying driver does not support XDP in native mode); ' +
        'the slower generic mode is used',
    ]);
    for (const link of links) link.close();
    loaded.close();
  });

  test('on several interfaces: all or none', () => {
    refuses('gone', 'cannot attach the XDP program: there is no interface with index 999999', () =>
      here.enter(() => loadAndAttach(asSource, 'count_packet', [index, 999_999], { path: fixtureObject })),
    );
    assert.deepEqual(query(), {});
  });

  function refuses(reason: AttachReason, message: string | RegExp, task: () => unknown): void {
    assert.throws(task, { name: 'AttachError', reason, message });
  }
});
