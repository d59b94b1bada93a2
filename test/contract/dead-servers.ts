// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineConfiguration } from '../../src/engine/engine.ts';
import type { DeadServerPolicy } from '../../src/model/dead-servers.ts';
import type { MakeEngine } from './engine-under-test.ts';
import { describeOut, Flags, segmentFrame, udpFrame } from './packets.ts';
import { configurationOf, Scene, type SceneOptions, virtualAddressIpv6 } from './scene.ts';

/** The configuration in which health checks have taken the first of two real servers out. */
function withoutFirst(options: SceneOptions, deadServerPolicy?: DeadServerPolicy): EngineConfiguration {
  const configuration = configurationOf({ ...options, selector: { shape: 'sequence', slots: Uint16Array.of(1) } });
  const services = configuration.services.map((service) => ({ ...service, alive: [false, true] }));
  return { ...configuration, services, ...(deadServerPolicy === undefined ? {} : { deadServerPolicy }) };
}

const serverOf = (frames: readonly string[]): string | undefined => frames[0]?.match(/servers: \S+ > \S+:0(\d) /)?.[1];

/** How entries leave a real server that its health checks have taken out, or that has left the configuration. */
export function deadServersContract(name: string, make: MakeEngine): void {
  for (const method of ['masquerade', 'direct-route'] as const) {
    const where = `${name}, ${method}`;
    const options = { method } as const;

    test(`${where}: a SYN that is sent again leaves a dead real server`, async () => {
      const scene = await Scene.open(make, options);
      assert.equal(serverOf(await scene.client()), '1');
      await scene.engine.configure(withoutFirst(options));
      assert.equal(serverOf(await scene.client()), '2');
      assert.equal((await scene.table()).length, 1);
      await scene.client({ flags: 'A' });
      assert.match((await scene.table())[0]!, /^ESTABLISHED .* > 10\.0\.0\.2:/);
    });

    test(`${where}: a SYN leaves a real server that was removed`, async () => {
      const scene = await Scene.open(make, options);
      await scene.client();
      await scene.engine.configure(configurationOf({ ...options, servers: ['10.0.0.2'] }));
      assert.equal(serverOf(await scene.client()), '2');
    });

    test(`${where}: a quiesced real server is not dead`, async () => {
      const scene = await Scene.open(make, options);
      await scene.client();
      const quiesced = withoutFirst(options);
      const services = quiesced.services.map((service) => ({ ...service, alive: [true, true] }));
      await scene.engine.configure({ ...quiesced, services });
      assert.equal(serverOf(await scene.client()), '1');
      await scene.client({ flags: 'A' });
      await scene.engine.advance(800_000);
      assert.equal(serverOf(await scene.client({ flags: 'A' })), '1');
      await scene.engine.advance(800_000);
      assert.equal((await scene.table()).length, 1);
    });

    test(`${where}: an established connection stays with a dead real server, whatever SYN comes, until it is silent`, async () => {
      const scene = await Scene.open(make, options);
      await scene.handshake();
      await scene.engine.configure(withoutFirst(options));
      assert.equal(serverOf(await scene.client({ flags: 'PA', sequence: 1001 })), '1');
      assert.equal(serverOf(await scene.client()), '1', 'a SYN, perhaps forged');
      assert.match((await scene.table())[0]!, /^ESTABLISHED .* > 10\.0\.0\.1:/);
      await scene.engine.advance(5_000);
      assert.equal(serverOf(await scene.client({ sequence: 70_000 })), '2');
      assert.match((await scene.table())[0]!, /^SYN_RECV .* > 10\.0\.0\.2:/);
    });

    test(`${where}: a client alone does not keep its entry at a dead real server alive`, async () => {
      const scene = await Scene.open(make, options);
      await scene.handshake();
      await scene.engine.configure(withoutFirst(options));
      for (let i = 0; i < 9; i += 1) {
        await scene.engine.advance(99_000);
        assert.equal(serverOf(await scene.client({ flags: 'A', sequence: 1001 })), '1');
      }
      await scene.engine.advance(11_000);
      assert.deepEqual(await scene.table(), []);
    });

    test(`${where}: expire_nodest_conn all resets established connections of a dead real server`, async () => {
      const scene = await Scene.open(make, options);
      await scene.handshake();
      await scene.engine.configure(withoutFirst(options, 'all'));
      assert.match((await scene.client({ flags: 'A', sequence: 1001, acknowledgement: 500 }))[0]!, / R seq 500/);
      assert.deepEqual(await scene.table(), []);
    });
  }

  test(`${name}: replies keep the entry of a real server alive that fails its checks and works all the same`, async () => {
    const scene = await Scene.open(make);
    await scene.handshake();
    await scene.engine.configure(withoutFirst({}));
    for (let i = 0; i < 3; i += 1) {
      await scene.engine.advance(800_000);
      assert.equal((await scene.server({ flags: 'A' })).length, 1);
    }
    assert.equal(serverOf(await scene.client({ flags: 'A', sequence: 1001 })), '1');
  });

  test(`${name}: UDP leaves a dead real server at once, unless expire_nodest_conn is none`, async () => {
    for (const policy of [undefined, 'udp', 'all', 'none'] as const) {
      const options = { protocol: 'udp' } as const;
      const scene = await Scene.open(make, options);
      const flow = { source: '198.51.100.7', sourcePort: 5000, destination: '192.0.2.80', destinationPort: 80 };
      const send = async (): Promise<string | undefined> =>
        (await scene.engine.send('clients', udpFrame(flow))).map(describeOut)[0]?.match(/> 10\.0\.0\.(\d) /)?.[1];
      await send();
      assert.equal(await send(), '1');
      await scene.engine.configure(withoutFirst(options, policy));
      assert.equal(await send(), policy === 'none' ? '1' : '2', policy);
      assert.equal((await scene.table()).length, policy === 'none' ? 1 : 0, 'the new flow has one packet');
      if (policy !== 'none') continue;
      await scene.engine.advance(299_000);
      assert.equal(await send(), '1');
      await scene.engine.advance(2_000);
      assert.deepEqual(await scene.table(), [], 'the client alone does not keep it alive');
    }
  });

  test(`${name}: in IPv6 a SYN leaves a dead real server`, async () => {
    const options = { family: 'ipv6' } as const;
    const scene = await Scene.open(make, options);
    const flow = {
      source: '2001:db8:c::7',
      sourcePort: 5000,
      destination: virtualAddressIpv6,
      destinationPort: 80,
    };
    const send = async (): Promise<string | undefined> =>
      (await scene.engine.send('clients', segmentFrame(flow, Flags.syn))).map(describeOut)[0];
    assert.match((await send())!, /> 2001:db8:a::1 8080/);
    await scene.engine.configure(withoutFirst(options));
    assert.match((await send())!, /> 2001:db8:a::2 8080/);
  });
}
