// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultTimeouts } from '../../../src/model/timeouts.ts';
import { configurationOf, instance, load, service } from './in-memory.ts';

const global = (lines: string): string => `global_defs {\n${lines}\n}\n`;
const onlyRouter = (lines: string, more = '') => load(instance(lines) + more).configuration?.virtualRouters[0];
const onlyService = (text: string) => load(text).configuration?.services[0];

describe('a whole configuration', () => {
  it('with nothing but defaults', () => {
    assert.deepEqual(load('').configuration, {
      routerId: 'alpha.example',
      virtualRouters: [],
      services: [],
      sync: undefined,
      timeouts: { tcpMs: 900_000, tcpFinMs: 120_000, udpMs: 300_000 },
    });
  });
  it('with one of each', () => {
    const text = `
global_defs {
    router_id "the first"
    lvs_sync_daemon eth1 VI_1
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    version 3
    priority 150
    advert_int 0.1
    nopreempt
    virtual_ipaddress {
        192.0.2.10
        10.0.0.254/24 dev eth1
    }
}
virtual_server 192.0.2.10 80 {
    lvs_sched wlc
    lvs_method NAT
    protocol TCP
    delay_loop 6
    real_server 10.0.0.1 8080 {
        weight 3
        TCP_CHECK {
            connect_timeout 3
        }
    }
    real_server 10.0.0.2 {
    }
}
`;
    assert.deepEqual(configurationOf(text), {
      routerId: 'the first',
      virtualRouters: [
        {
          name: 'VI_1',
          interface: 'eth0',
          family: 'ipv4',
          vrid: 51,
          version: 3,
          priority: 150,
          advertIntervalMs: 100,
          startAs: 'backup',
          preempt: false,
          preemptDelayMs: 0,
          addresses: [
            { address: '192.0.2.10', prefixLength: 32, interface: 'eth0' },
            { address: '10.0.0.254', prefixLength: 24, interface: 'eth1' },
          ],
          announcement: { repeat: 5, delayMs: 5000, refreshMs: 0, refreshRepeat: 1, intervalMs: 0 },
        },
      ],
      services: [
        {
          address: '192.0.2.10',
          port: 80,
          protocol: 'tcp',
          scheduler: { name: 'wlc', hashPort: false, fallback: false },
          realServers: [
            {
              address: '10.0.0.1',
              port: 8080,
              weight: 3,
              forwardingMethod: 'masquerade',
              checks: [
                {
                  checker: 'TCP_CHECK',
                  parameters: { address: '10.0.0.1', port: 8080 },
                  timeoutMs: 3000,
                  retry: 1,
                  delayBeforeRetryMs: 1000,
                  delayLoopMs: 6000,
                  warmupMs: 6000,
                },
              ],
            },
            { address: '10.0.0.2', port: 80, weight: 1, forwardingMethod: 'masquerade', checks: [] },
          ],
        },
      ],
      sync: {
        interface: 'eth1',
        instance: 'VI_1',
        syncId: 51,
        maxLength: 1472,
        port: 8848,
        ttl: 1,
        group: '224.0.0.81',
      },
      timeouts: { tcpMs: 900_000, tcpFinMs: 120_000, udpMs: 300_000 },
    });
  });
});

describe('global_defs', () => {
  it('adds several blocks up', () => {
    const loaded = configurationOf(`${global('router_id a')}${global('lvs_timeouts tcp 60')}`);
    assert.deepEqual([loaded.routerId, loaded.timeouts], ['a', { ...defaultTimeouts, tcpMs: 60_000 }]);
  });
  it('expire_nodest_conn: which connections leave a dead real server', () => {
    const policy = (text: string) => configurationOf(global(text)).deadServerPolicy;
    assert.equal(policy('router_id a'), undefined);
    for (const value of ['none', 'udp', 'all']) assert.equal(policy(`expire_nodest_conn ${value}`), value);
  });
  it('lvs_timeouts: each alone or together, 0 for unchanged', () => {
    const timeouts = (line: string) => configurationOf(global(line)).timeouts;
    assert.deepEqual(timeouts('lvs_timeouts tcp 1 tcpfin 2 udp 3'), { tcpMs: 1000, tcpFinMs: 2000, udpMs: 3000 });
    assert.deepEqual(timeouts('lvs_timeouts tcpfin 2'), { ...defaultTimeouts, tcpFinMs: 2000 });
    assert.deepEqual(timeouts('lvs_timeouts udp 0'), defaultTimeouts);
  });
  it('lvs_sync_daemon: the documented syntax and the older one', () => {
    const defaults = { instance: undefined, syncId: 0, maxLength: 1472, port: 8848, ttl: 1, group: '224.0.0.81' };
    const sync = (line: string) => configurationOf(global(`lvs_sync_daemon ${line}`) + instance()).sync;
    assert.deepEqual(sync('eth1'), { ...defaults, interface: 'eth1' });
    assert.deepEqual(sync('eth1 VI_1'), { ...defaults, interface: 'eth1', instance: 'VI_1', syncId: 51 });
    assert.deepEqual(sync('eth1 inst VI_1'), { ...defaults, interface: 'eth1', instance: 'VI_1', syncId: 51 });
    const older = load(global('lvs_sync_daemon eth1 VI_1 7') + instance()).configuration?.sync;
    assert.deepEqual(older, { ...defaults, interface: 'eth1', instance: 'VI_1', syncId: 7 });
    assert.deepEqual(sync('eth1 id 255 maxlen 65507 port 1 ttl 255 group 239.1.2.3'), {
      interface: 'eth1',
      instance: undefined,
      syncId: 255,
      maxLength: 65_507,
      port: 1,
      ttl: 255,
      group: '239.1.2.3',
    });
  });
  it('preempt_without_sync and defer are settings of synchronisation', () => {
    const sync = (lines: string) => configurationOf(`${global('lvs_sync_daemon eth1')}${lines}`).sync;
    assert.deepEqual(
      ['', 'baton { }', 'baton {\npreempt_without_sync 0\n}', 'baton {\npreempt_without_sync 2.5\n}'].map(
        (lines) => sync(lines)?.preemptWithoutSyncMs,
      ),
      [undefined, undefined, 0, 2500],
    );
    assert.deepEqual([sync('')?.defer, sync('baton {\ndefer\n}')?.defer], [undefined, true]);
  });
  it('lvs_sync_daemon over IPv6: datagrams that fit behind its header', () => {
    const { sync } = configurationOf(global('lvs_sync_daemon eth1 group ff02::81'));
    assert.deepEqual([sync?.group, sync?.maxLength], ['ff02::81', 1452]);
    assert.equal(configurationOf(global('lvs_sync_daemon eth1 group ff02::81 maxlen 900')).sync?.maxLength, 900);
  });
  it('lvs_sync_daemon takes the unicast peers of its instance, unless a group is given or it goes another way', () => {
    const unicast = (line: string, lines: string, address = '192.0.2.10') => {
      const { sync } = configurationOf(global(`lvs_sync_daemon ${line}`) + instance(lines, 'VI_1', 51, address));
      return [sync?.unicastPeers, sync?.unicastSource, sync?.maxLength];
    };
    const peers = 'unicast_peer {\n192.0.2.2\n192.0.2.3 min_ttl 255\n}';
    const none = [undefined, undefined, 1472];
    assert.deepEqual(unicast('eth0 VI_1', peers), [['192.0.2.2', '192.0.2.3'], undefined, 1472]);
    assert.deepEqual(unicast('eth0 VI_1', `${peers}\nunicast_src_ip 192.0.2.1`), [
      ['192.0.2.2', '192.0.2.3'],
      '192.0.2.1',
      1472,
    ]);
    assert.deepEqual(unicast('eth0 VI_1', 'unicast_peer {\n2001:DB8::2\n}', '2001:db8::10'), [
      ['2001:db8::2'],
      undefined,
      1452,
    ]);
    assert.deepEqual(unicast('eth0 VI_1 group 224.0.0.81', peers), none);
    assert.deepEqual(unicast('eth1 VI_1', peers), none);
    assert.deepEqual(unicast('eth0', peers), none);
  });
  it('vrrp_version and vrrp_garp_* are the defaults of instances, wherever they stand', () => {
    const lines = `vrrp_version 3
vrrp_garp_master_delay 1
vrrp_garp_master_repeat 2
vrrp_garp_master_refresh 60
vrrp_garp_master_refresh_repeat 4
vrrp_garp_interval 0.0005`;
    const expected = { repeat: 2, delayMs: 1000, refreshMs: 60_000, refreshRepeat: 4, intervalMs: 0.5 };
    for (const text of [global(lines) + instance(), instance() + global(lines)]) {
      const [router] = configurationOf(text).virtualRouters;
      assert.deepEqual([router?.version, router?.announcement], [3, expected]);
    }
    const own = onlyRouter(
      'version 2\ngarp_master_delay 0\ngarp_master_repeat 9\ngarp_master_refresh 8\ngarp_master_refresh_repeat 7',
      global(lines),
    );
    assert.equal(own?.version, 2);
    assert.deepEqual(own?.announcement, { repeat: 9, delayMs: 0, refreshMs: 8000, refreshRepeat: 7, intervalMs: 0.5 });
  });
});

describe('vrrp_instance', () => {
  it('has the defaults of keepalived', () => {
    const router = onlyRouter('');
    assert.deepEqual(
      [
        router?.version,
        router?.priority,
        router?.advertIntervalMs,
        router?.startAs,
        router?.preempt,
        router?.preemptDelayMs,
      ],
      [2, 100, 1000, 'backup', true, 0],
    );
  });
  const startCases: readonly [string, number, string][] = [
    ['state MASTER', 255, 'active'],
    ['state MASTER\npriority 150', 150, 'active'],
    ['state BACKUP\npriority 255', 255, 'backup'],
    ['priority 255', 255, 'active'],
    ['state BACKUP', 100, 'backup'],
  ];
  for (const [lines, priority, startAs] of startCases) {
    it(`starts with ${lines.replace('\n', ', ')} as ${startAs}, priority ${priority}`, () => {
      const router = onlyRouter(lines);
      assert.deepEqual([router?.priority, router?.startAs], [priority, startAs]);
    });
  }
  const intervals: readonly [2 | 3, string, number][] = [
    [3, '0.01', 10],
    [3, '0.07', 70],
    [3, '.1', 100],
    [3, '40.95', 40_950],
    [3, '1.', 1000],
    [3, '0.104', 100],
    [3, '0.105', 110],
    [3, '41', 40_950],
    [2, '1', 1000],
    [2, '255', 255_000],
    [2, '0.1', 1000],
    [2, '1.4', 1000],
    [2, '1.5', 2000],
    [2, '254.9', 255_000],
  ];
  for (const [version, text, expected] of intervals) {
    it(`advert_int ${text} of version ${version} is ${expected} ms`, () => {
      assert.equal(onlyRouter(`version ${version}\nadvert_int ${text}`)?.advertIntervalMs, expected);
    });
  }
  it('every hundredth of a second is exact in version 3', () => {
    for (let hundredths = 1; hundredths < 300; hundredths += 1) {
      const text = instance(`version 3\nadvert_int ${(hundredths / 100).toFixed(2)}`);
      assert.equal(configurationOf(text).virtualRouters[0]?.advertIntervalMs, hundredths * 10);
    }
  });
  it('preemption', () => {
    const preemption = (lines: string) => {
      const router = onlyRouter(lines);
      return [router?.preempt, router?.preemptDelayMs];
    };
    assert.deepEqual(preemption('nopreempt'), [false, 0]);
    assert.deepEqual(preemption('nopreempt\npreempt'), [true, 0]);
    assert.deepEqual(preemption('preempt_delay 2.5'), [true, 2500]);
    assert.deepEqual(preemption('nopreempt\npreempt_delay 2.5'), [false, 0]);
    assert.deepEqual(preemption('state MASTER\npriority 9\nnopreempt\npreempt_delay 2.5'), [true, 0]);
    assert.deepEqual(preemption('priority 255\nstate BACKUP\nnopreempt'), [true, 0]);
  });
  const addresses: readonly [string, object][] = [
    ['192.0.2.1', { prefixLength: 32 }],
    ['192.0.2.1/24', { prefixLength: 24 }],
    ['192.0.2.1/0', { prefixLength: 0 }],
    ['192.0.2.1/24 dev eth9', { prefixLength: 24, interface: 'eth9' }],
    ['192.0.2.1/24 brd 192.0.2.255', { prefixLength: 24, broadcast: '192.0.2.255' }],
    ['192.0.2.1/24 broadcast +', { prefixLength: 24, broadcast: '192.0.2.255' }],
    ['192.0.2.1/24 brd -', { prefixLength: 24, broadcast: '192.0.2.0' }],
    ['192.0.2.1/0 brd +', { prefixLength: 0, broadcast: '255.255.255.255' }],
    ['192.0.2.1 scope link', { prefixLength: 32, scope: 253 }],
    ['192.0.2.1 scope global', { prefixLength: 32, scope: 0 }],
    ['192.0.2.1 scope 17', { prefixLength: 32, scope: 17 }],
    ['192.0.2.1 label eth0:1', { prefixLength: 32, label: 'eth0:1' }],
    [
      '192.0.2.1/30 label a scope host dev b brd +',
      { prefixLength: 30, label: 'a', scope: 254, interface: 'b', broadcast: '192.0.2.3' },
    ],
  ];
  for (const [text, expected] of addresses) {
    it(`virtual_ipaddress ${text}`, () => {
      const [router] = configurationOf(instance('', 'VI_1', 51, text)).virtualRouters;
      assert.deepEqual(router?.addresses, [{ address: '192.0.2.1', interface: 'eth0', ...expected }]);
    });
  }
});

describe('vrrp_instance with IPv6', () => {
  it('has version 3 whatever vrrp_version says, and host prefixes', () => {
    const [router] = configurationOf(
      global('vrrp_version 2') + instance('', 'VI_1', 51, 'FE80:0::10/64\n2001:db8::10 dev eth1 scope site'),
    ).virtualRouters;
    assert.deepEqual(
      [router?.family, router?.version, router?.addresses],
      [
        'ipv6',
        3,
        [
          { address: 'fe80::10', prefixLength: 64, interface: 'eth0' },
          { address: '2001:db8::10', prefixLength: 128, interface: 'eth1', scope: 200 },
        ],
      ],
    );
  });
  it('may have the virtual_router_id of an IPv4 one beside it', () => {
    const both = instance() + instance('', 'VI_6', 51, '2001:db8::10');
    assert.deepEqual(
      configurationOf(both).virtualRouters.map(({ family, vrid }) => [family, vrid]),
      [
        ['ipv4', 51],
        ['ipv6', 51],
      ],
    );
  });
});

describe('where advertisements go', () => {
  it('to the unicast peers, from the source', () => {
    const router = onlyRouter(
      'unicast_src_ip 192.0.2.1\nunicast_peer {\n192.0.2.2\n192.0.2.3 min_ttl 254 max_ttl 255\n}',
    );
    assert.deepEqual(
      [router?.sourceAddress, router?.unicastPeers],
      [
        '192.0.2.1',
        [
          { address: '192.0.2.2', minTtl: 0, maxTtl: 255 },
          { address: '192.0.2.3', minTtl: 254, maxTtl: 255 },
        ],
      ],
    );
  });
  it('to the group, from mcast_src_ip', () => {
    const router = onlyRouter('mcast_src_ip 192.0.2.1');
    assert.deepEqual([router?.sourceAddress, router?.unicastPeers], ['192.0.2.1', undefined]);
  });
  const forms: readonly [string, string, string | undefined][] = [
    ['', 'version 3', undefined],
    ['', 'version 3\nv3_checksum_as_v2', 'message-only'],
    ['v3_checksum_as_v2', 'version 3', 'message-only'],
    ['v3_checksum_as_v2', 'version 3\nv3_checksum_as_v2 off', undefined],
    ['v3_checksum_as_v2', 'version 2', undefined],
  ];
  for (const [globals, lines, form] of forms) {
    it(`${[globals, lines].join(' | ').replaceAll('\n', ', ')}: checksum ${form ?? 'with pseudo-header'}`, () => {
      assert.equal(configurationOf(global(globals) + instance(lines)).virtualRouters[0]?.checksumForm, form);
    });
  }
});

describe('virtual_server', () => {
  const schedulers: readonly [string, object][] = [
    ['lvs_sched rr', { name: 'rr', hashPort: false, fallback: false }],
    ['lb_algo wrr', { name: 'wrr', hashPort: false, fallback: false }],
    ['lb_algo lc', { name: 'lc', hashPort: false, fallback: false }],
    ['', { name: 'wlc', hashPort: false, fallback: false }],
    ['lvs_sched sh\nsh-port', { name: 'sh', hashPort: true, fallback: false }],
    ['sh-fallback\nlvs_sched sh', { name: 'sh', hashPort: false, fallback: true }],
    ['lvs_sched mh\nmh-port\nmh-fallback', { name: 'mh', hashPort: true, fallback: true }],
    ['lvs_sched mh\nflag-1', { name: 'mh', hashPort: false, fallback: true }],
    ['lvs_sched sh\nflag-2', { name: 'sh', hashPort: true, fallback: false }],
    ['lvs_sched sh sh-port sh-fallback', { name: 'sh', hashPort: true, fallback: true }],
    ['lvs_sched mh\nsh-port', { name: 'mh', hashPort: false, fallback: false }],
  ];
  for (const [lines, expected] of schedulers) {
    it(`${lines.replaceAll('\n', ', ') || 'without a scheduler'}`, () => {
      const text = `virtual_server 192.0.2.1 80 {\nprotocol tcp\nlb_kind DR\n${lines}\nreal_server 192.0.2.2 80 { }\n}`;
      assert.deepEqual(onlyService(text)?.scheduler, expected);
    });
  }
  it('the forwarding method comes from the real server, the virtual server, or is NAT', () => {
    const methods = (head: string) =>
      onlyService(`virtual_server 192.0.2.1 80 {
protocol TCP
${head}
real_server 192.0.2.2 80 { }
real_server 192.0.2.3 80 {
lvs_method DR
}
real_server 192.0.2.4 80 {
lvs_method NAT
}
}`)?.realServers.map(({ forwardingMethod }) => forwardingMethod);
    assert.deepEqual(methods('lb_kind NAT'), ['masquerade', 'direct-route', 'masquerade']);
    assert.deepEqual(methods('lvs_method DR'), ['direct-route', 'direct-route', 'masquerade']);
    assert.deepEqual(methods(''), ['masquerade', 'direct-route', 'masquerade']);
  });
  it('weights', () => {
    const weights = (lines: string) => onlyService(service(lines))?.realServers.map(({ weight }) => weight);
    const four = 'real_server 10.0.0.2 1 {\nweight 0\n}\nreal_server 10.0.0.3 1 {\nweight 65535\n}';
    assert.deepEqual(weights(four), [1, 0, 65_535]);
    assert.deepEqual(weights(`${four}\nweight 7`), [7, 0, 65_535]);
  });
  it('a real server without a port, or with direct-route, has the port of the virtual server', () => {
    const text = service(
      'real_server 10.0.0.2 { }\nreal_server 10.0.0.3 0 { }\nreal_server 10.0.0.4 9 {\nlvs_method DR\n}',
    );
    assert.deepEqual(
      onlyService(text)?.realServers.map(({ port }) => port),
      [8080, 80, 80, 80],
    );
  });
  it('checks take missing values from the real server, the virtual server, keepalived', () => {
    const outer = 'delay_loop 1.5\nconnect_timeout 2\nretry 3\ndelay_before_retry 4\nwarmup 5';
    const inner = 'delay_loop 11\nconnect_timeout 12\nretry 13\ndelay_before_retry 0\nwarmup 0';
    const own =
      'connect_ip 10.9.9.9\nconnect_port 99\ndelay_loop 21\nconnect_timeout 0.25\nretry 0\ndelay_before_retry 24\nwarmup 25';
    const checks = (vs: string, rs: string, check: string) =>
      onlyService(service(`${vs}\nreal_server 10.0.0.2 81 {\n${rs}\nTCP_CHECK {\n${check}\n}\nTCP_CHECK { }\n}`))
        ?.realServers[1]?.checks;
    const base = { checker: 'TCP_CHECK', parameters: { address: '10.0.0.2', port: 81 } };
    const byDefault = {
      ...base,
      timeoutMs: 5000,
      retry: 1,
      delayBeforeRetryMs: 1000,
      delayLoopMs: 60_000,
      warmupMs: 60_000,
    };
    const fromOuter = {
      ...base,
      timeoutMs: 2000,
      retry: 3,
      delayBeforeRetryMs: 4000,
      delayLoopMs: 1500,
      warmupMs: 5000,
    };
    const fromInner = {
      ...base,
      timeoutMs: 12_000,
      retry: 13,
      delayBeforeRetryMs: 0,
      delayLoopMs: 11_000,
      warmupMs: 0,
    };
    const fromOwn = {
      checker: 'TCP_CHECK',
      parameters: { address: '10.9.9.9', port: 99 },
      timeoutMs: 250,
      retry: 0,
      delayBeforeRetryMs: 24_000,
      delayLoopMs: 21_000,
      warmupMs: 25_000,
    };
    assert.deepEqual(checks('', '', ''), [byDefault, byDefault]);
    assert.deepEqual(checks(outer, '', ''), [fromOuter, fromOuter]);
    assert.deepEqual(checks(outer, inner, ''), [fromInner, fromInner]);
    assert.deepEqual(checks(outer, inner, own), [fromOwn, fromInner]);
  });
  it('IPv6 throughout', () => {
    const text = `virtual_server 2001:DB8::10 53 {
lvs_sched rr
lvs_method NAT
protocol udp
ip_family inet6
ops
persistence_granularity 64
real_server 2001:db8:1::1 5353 {
TCP_CHECK {
connect_ip 2001:db8:2::1
}
}
sorry_server 2001:db8:1::9
}`;
    const found = configurationOf(text).services[0];
    assert.deepEqual(
      { ...found, realServers: found?.realServers.map(({ checks, ...server }) => [server, checks[0]?.parameters]) },
      {
        address: '2001:db8::10',
        port: 53,
        protocol: 'udp',
        scheduler: { name: 'rr', hashPort: false, fallback: false },
        persistence: { timeoutMs: 360_000, prefixLength: 64 },
        onePacket: true,
        realServers: [
          [
            { address: '2001:db8:1::1', port: 5353, weight: 1, forwardingMethod: 'masquerade' },
            { address: '2001:db8:2::1', port: 5353 },
          ],
        ],
        sorryServer: { address: '2001:db8:1::9', port: 53, weight: 1, forwardingMethod: 'masquerade' },
      },
    );
  });
  it('without a protocol it is UDP', () => {
    const text = 'virtual_server 192.0.2.1 80 {\nlb_algo rr\nlb_kind NAT\nreal_server 10.0.0.1 80 { }\n}';
    assert.equal(onlyService(text)?.protocol, 'udp');
  });
  const persistence: readonly [string, object | undefined][] = [
    ['', undefined],
    ['persistence_timeout', { timeoutMs: 360_000, prefixLength: 32 }],
    ['persistence_timeout 50', { timeoutMs: 50_000, prefixLength: 32 }],
    ['persistence_timeout 2678400', { timeoutMs: 2_678_400_000, prefixLength: 32 }],
    ['persistence_granularity 255.255.255.0', { timeoutMs: 360_000, prefixLength: 24 }],
    ['persistence_granularity 128.0.0.0\npersistence_timeout 1', { timeoutMs: 1000, prefixLength: 1 }],
    ['persistence_granularity 255.255.255.255', { timeoutMs: 360_000, prefixLength: 32 }],
  ];
  for (const [lines, expected] of persistence) {
    it(`${lines.replaceAll('\n', ', ') || 'without persistence'}`, () => {
      assert.deepEqual(configurationOf(service(lines)).services[0]?.persistence, expected);
    });
  }
  it('the sorry server has the method of its own line, of the virtual server, or NAT', () => {
    const sorry = (lines: string) => onlyService(service(lines))?.sorryServer;
    assert.deepEqual(sorry('sorry_server 10.0.0.9 81'), {
      address: '10.0.0.9',
      port: 81,
      weight: 1,
      forwardingMethod: 'masquerade',
    });
    assert.equal(sorry('sorry_server 10.0.0.9\nsorry_server_lvs_method DR')?.forwardingMethod, 'direct-route');
    assert.equal(sorry('sorry_server 10.0.0.9\nlvs_method DR')?.forwardingMethod, 'direct-route');
  });
  it('thresholds, 0 for none', () => {
    const [, limited, unlimited] =
      configurationOf(
        service(
          'real_server 10.0.0.2 1 {\nuthreshold 100\nlthreshold 80\n}\nreal_server 10.0.0.3 1 {\nuthreshold 0\n}',
        ),
      ).services[0]?.realServers ?? [];
    assert.deepEqual([limited?.upperThreshold, limited?.lowerThreshold], [100, 80]);
    assert.deepEqual([unlimited?.upperThreshold, unlimited?.lowerThreshold], [undefined, undefined]);
  });
  it('a maximum connection rate, 0 for none', () => {
    const [limited, unlimited] =
      configurationOf(
        service(
          'real_server 10.0.0.2 1 {\nmax_connection_rate 500\n}\nreal_server 10.0.0.3 1 {\nmax_connection_rate 0\n}',
        ),
      ).services[0]?.realServers.slice(-2) ?? [];
    assert.deepEqual([limited?.connectionRateMax, unlimited?.connectionRateMax], [500, undefined]);
  });
  it('quorum and hysteresis', () => {
    const found = configurationOf(service('weight 9\nquorum 7\nhysteresis 2')).services[0];
    assert.deepEqual([found?.quorum, found?.hysteresis], [7, 2]);
    const repaired = onlyService(service('quorum 7\nhysteresis 2\nweight 5'));
    assert.deepEqual([repaired?.quorum, repaired?.hysteresis], [5, 2]);
  });
  it('alpha and inhibit_on_failure are looked up from the inside out', () => {
    const servers = (lines: string) =>
      configurationOf(
        service(`${lines}
real_server 10.0.0.2 1 {
alpha off
inhibit_on_failure off
TCP_CHECK { }
TCP_CHECK {
alpha
}
}
real_server 10.0.0.3 1 {
alpha
inhibit_on_failure
TCP_CHECK { }
}
real_server 10.0.0.4 1 {
TCP_CHECK { }
}`),
      )
        .services[0]?.realServers.slice(1)
        .map(({ checks, inhibitOnFailure }) => [inhibitOnFailure, ...checks.map(({ alpha }) => alpha)]);
    assert.deepEqual(servers(''), [
      [undefined, undefined, true],
      [true, true],
      [undefined, undefined],
    ]);
    assert.deepEqual(servers('alpha\ninhibit_on_failure'), [
      [undefined, undefined, true],
      [true, true],
      [true, true],
    ]);
  });
  it('a real server given twice counts once', () => {
    assert.deepEqual(
      onlyService(service('real_server 10.0.0.1 8080 {\nweight 5\n}'))?.realServers.map(({ weight }) => weight),
      [1],
    );
  });
  it('without real servers is left out', () => {
    const loaded = load('virtual_server 192.0.2.1 80 {\nprotocol TCP\nlb_algo rr\nlb_kind NAT\n}');
    assert.deepEqual(loaded.configuration?.services, []);
  });
});
