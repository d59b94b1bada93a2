// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import type { XdpInterface } from '../../../src/engine/xdp/addresses.ts';
import type { XdpLink } from '../../../src/engine/xdp/bpf-object.ts';
import { XdpAttachments } from '../../../src/processes/engine/xdp-attachments.ts';

const lookPeriodMs = 200;

/** A link of the kernel's, with what becomes of it. */
interface FakeLink extends XdpLink {
  attached: boolean;
}

function link(interfaceIndex: number): FakeLink {
  return {
    fd: -1,
    interfaceIndex,
    mode: 'native',
    attached: true,
    replace: () => undefined,
    isAttached() {
      return this.attached;
    },
    detach() {
      this.attached = false;
    },
    close: () => undefined,
  };
}

/** The interfaces of a host, what is attached to them, and what the operator reads of it. */
class Host {
  readonly indexes = new Map<string, number>();
  readonly log: string[] = [];
  readonly changes: (readonly string[])[] = [];
  refusal: string | undefined;
  warning: string | undefined;

  start(names: readonly string[], links: readonly XdpLink[]): XdpAttachments {
    return new XdpAttachments({
      names,
      links,
      attach: (index) => {
        if (this.refusal !== undefined) throw new Error(this.refusal);
        return { link: link(index), warning: this.warning };
      },
      find: (name) => this.#find(name),
      onChanged: (present) => this.changes.push(present.map(({ name, index }) => `${name} ${index}`)),
      log: (level, sentence) => this.log.push(`${level} ${sentence}`),
    });
  }

  #find(name: string): XdpInterface | undefined {
    const index = this.indexes.get(name);
    return index === undefined
      ? undefined
      : { name, index, macAddress: Uint8Array.of(2, 0, 0, 0, 0, index), mtu: 1500 };
  }
}

describe('the XDP program on the interfaces of the engine', () => {
  let host: Host;
  beforeEach(() => {
    mock.timers.enable({ apis: ['setInterval'] });
    host = new Host();
  });
  afterEach(() => mock.timers.reset());
  const look = (): void => mock.timers.tick(lookPeriodMs);

  test('links that are there already: nothing is said, nothing changes', () => {
    host.indexes.set('eth0', 3);
    const attachments = host.start(['eth0'], [link(3)]);
    look();
    assert.deepEqual(
      attachments.links.map(({ interfaceIndex }) => interfaceIndex),
      [3],
    );
    assert.deepEqual([host.log, host.changes], [[], []]);
    attachments.close();
  });

  test('an interface that the predecessor did not forward on was not recreated', () => {
    host.indexes.set('eth0', 3).set('eth1', 4);
    const former = link(9);
    const attachments = host.start(['eth0', 'eth1'], [link(3), former]);
    assert.deepEqual(
      attachments.links.map(({ interfaceIndex }) => interfaceIndex),
      [3, 4],
    );
    assert.equal(former.attached, false);
    assert.deepEqual(host.log, ['info the XDP program is on interface eth1 now; the engine forwards on it']);
    attachments.close();
  });

  test('an interface that is recreated: logged when the engine forwards on it again', () => {
    host.indexes.set('eth0', 3);
    const attachments = host.start(['eth0'], [link(3)]);
    host.indexes.delete('eth0');
    look();
    assert.deepEqual([host.log, host.changes], [[], [[]]]);
    host.indexes.set('eth0', 5);
    look();
    assert.deepEqual(
      attachments.links.map(({ interfaceIndex }) => interfaceIndex),
      [5],
    );
    assert.deepEqual(host.log, ['warn interface eth0 was recreated; the engine forwards on it again']);
    assert.deepEqual(host.changes, [[], ['eth0 5']]);
    attachments.close();
  });

  test('an attachment that was refused at first: the refusal once, then that it worked', () => {
    host.indexes.set('eth0', 3);
    host.refusal = 'another program is there already';
    const attachments = host.start(['eth0'], []);
    look();
    look();
    assert.deepEqual(host.log.splice(0), ['error another program is there already']);
    assert.deepEqual(attachments.links, []);
    host.refusal = undefined;
    host.warning = 'the slower generic mode is used';
    look();
    look();
    assert.deepEqual(host.log, [
      'info the XDP program is on interface eth0 now; the engine forwards on it',
      'warn the slower generic mode is used',
    ]);
    assert.deepEqual(host.changes, [['eth0 3']]);
    attachments.close();
  });

  test('a program that has gone from an interface of the same index is attached again', () => {
    host.indexes.set('eth0', 3);
    const gone = link(3);
    const attachments = host.start(['eth0'], [gone]);
    gone.attached = false;
    look();
    look();
    assert.notEqual(attachments.links[0], gone);
    assert.deepEqual(host.log, ['warn the XDP program had gone from interface eth0; the engine forwards on it again']);
    assert.deepEqual(host.changes, [['eth0 3']]);
    attachments.close();
  });
});
