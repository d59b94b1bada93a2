// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { keywordTable } from '../../../src/config/language/keyword-table.ts';
import { configurationOf, instance, report, service } from './in-memory.ts';

/** Every supported keyword, in a place and with a value for which there is no diagnostic. */
const examples: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  root: { global_defs: 'global_defs { }', vrrp_instance: instance(), virtual_server: service(), baton: 'baton { }' },
  global_defs: {
    router_id: 'a',
    vrrp_version: '3',
    lvs_sync_daemon: 'eth0',
    lvs_timeouts: 'tcp 1',
    expire_nodest_conn: 'all',
    vrrp_garp_master_delay: '1',
    vrrp_garp_master_repeat: '1',
    vrrp_garp_master_refresh: '1',
    vrrp_garp_master_refresh_repeat: '1',
    vrrp_garp_interval: '0.1',
    vrrp_mcast_group4: '224.0.0.18',
    vrrp_mcast_group6: 'ff02::12',
    vrrp_check_unicast_src: '',
    v3_checksum_as_v2: 'false',
  },
  baton: { preempt_without_sync: '30', max_adopted_interval: '5', track_routes: 'off', sloppy_tcp: 'on', defer: 'on' },
  vrrp_instance: {
    state: 'BACKUP',
    interface: 'eth0',
    virtual_router_id: '1',
    priority: '1',
    advert_int: '1',
    version: '2',
    virtual_ipaddress: '{ 192.0.2.77 }',
    preempt: '',
    nopreempt: '',
    preempt_delay: '0.5',
    garp_master_delay: '1',
    garp_master_refresh: '1',
    garp_master_repeat: '1',
    garp_master_refresh_repeat: '1',
    accept: '',
    native_ipv6: '',
    unicast_peer: '{ 192.0.2.2 }',
    unicast_src_ip: '192.0.2.3',
    mcast_src_ip: '192.0.2.3',
    check_unicast_src: '',
    unicast_fault_no_peer: '',
    v3_checksum_as_v2: '',
  },
  virtual_server: {
    retry: '1',
    delay_before_retry: '1',
    warmup: '1',
    connect_timeout: '1',
    delay_loop: '1',
    lb_algo: 'mh',
    lvs_sched: 'mh',
    'flag-1': '',
    'flag-2': '',
    'sh-port': '',
    'sh-fallback': '',
    'mh-port': '',
    'mh-fallback': '',
    lb_kind: 'DR',
    lvs_method: 'DR',
    protocol: 'TCP',
    weight: '1',
    real_server: '10.0.0.9 9 { }',
    ip_family: 'inet',
    ops: '',
    persistence_timeout: '',
    persistence_granularity: '255.255.255.0',
    alpha: '',
    quorum: '1',
    hysteresis: '0',
    inhibit_on_failure: '',
    sorry_server: '10.0.0.9',
    sorry_server_lvs_method: 'DR',
  },
  real_server: {
    weight: '0',
    lvs_method: 'NAT',
    retry: '1',
    delay_before_retry: '1',
    warmup: '1',
    connect_timeout: '1',
    delay_loop: '1',
    alpha: 'no',
    uthreshold: '10',
    max_connection_rate: '1000',
    lthreshold: '0',
    inhibit_on_failure: 'yes',
    TCP_CHECK: '{ }',
  },
  TCP_CHECK: {
    connect_ip: '10.0.0.1',
    connect_port: '1',
    connect_timeout: '1',
    retry: '0',
    delay_before_retry: '1',
    warmup: '1',
    delay_loop: '1',
    alpha: 'on',
  },
};

/** A keyword alone in its block, in a file that is otherwise complete. */
function fileWith(block: string, keyword: string, value: string): string {
  const line = `${keyword} ${value}`;
  if (block === 'root') return value;
  if (block === 'global_defs') return `global_defs {\n${line}\n}`;
  if (block === 'baton') return `global_defs {\nlvs_sync_daemon eth0\n}\nbaton {\n${line}\n}`;
  if (block === 'vrrp_instance') {
    const needed = {
      interface: 'interface eth0',
      virtual_router_id: 'virtual_router_id 1',
      virtual_ipaddress: `virtual_ipaddress { ${keyword === 'native_ipv6' ? 'fe80::1' : '192.0.2.1'} }`,
      ...(/unicast/.test(keyword) ? { unicast_peer: 'unicast_peer { 192.0.2.2 }' } : {}),
    };
    const others = Object.entries(needed).filter(([name]) => name !== keyword);
    return `vrrp_instance A {\n${others.map(([, text]) => text).join('\n')}\n${line}\n}`;
  }
  if (block === 'virtual_server') {
    const scheduler = keyword.startsWith('sh-') ? 'sh' : 'mh';
    const protocol = `protocol ${keyword === 'ops' ? 'UDP' : 'TCP'}`;
    const sorry = keyword === 'sorry_server_lvs_method' ? { sorry_server: 'sorry_server 10.0.0.7' } : {};
    const needed = { ...sorry, protocol, lvs_sched: `lvs_sched ${scheduler}`, lvs_method: 'lvs_method NAT' };
    const given = keyword === 'lb_algo' ? 'lvs_sched' : keyword === 'lb_kind' ? 'lvs_method' : keyword;
    const others = Object.entries(needed).filter(([name]) => name !== given);
    return `virtual_server 192.0.2.1 9 {\n${others.map(([, text]) => text).join('\n')}\n${line}\nreal_server 10.0.0.8 9 { }\n}`;
  }
  return service(
    block === 'real_server'
      ? `real_server 10.0.0.8 9 {\n${line}\n}`
      : `real_server 10.0.0.8 9 {\nTCP_CHECK {\n${line}\n}\n}`,
  );
}

describe('the keyword table', () => {
  it('knows the 361 keywords of keepalived 2.4.3, the two names of its HTTP checker, and eight of its own', () => {
    const names = new Set([...keywordTable.values()].flatMap(({ keywords }) => [...keywords.keys()]));
    assert.equal(names.size, 371);
  });
  it('names a block for every keyword that has one', () => {
    for (const { title, keywords } of keywordTable.values()) {
      for (const [name, keyword] of keywords) {
        assert.equal(keyword.block !== undefined, keyword.shape === 'keywords', `${title} ${name}`);
        assert.ok(keyword.block === undefined || keywordTable.has(keyword.block), `${title} ${name}`);
      }
    }
  });
  it('has an example of every supported keyword', () => {
    for (const [block, { keywords }] of keywordTable) {
      const supported = [...keywords].filter(([, { support }]) => support === 'supported').map(([name]) => name);
      assert.deepEqual(Object.keys(examples[block] ?? {}).sort(), supported.sort(), block);
    }
  });
  for (const [block, keywords] of Object.entries(examples)) {
    for (const [keyword, value] of Object.entries(keywords)) {
      it(`supports ${block} ${keyword}`, () => {
        configurationOf(fileWith(block, keyword, value));
      });
    }
  }
  it('reports every other keyword as not supported yet, at its place', () => {
    for (const [block, { keywords }] of keywordTable) {
      if (examples[block] === undefined) continue;
      for (const [name, keyword] of keywords) {
        if (keyword.support === 'supported') continue;
        const text = `${name}${keyword.shape === 'words' ? '' : ' { }'}`;
        const file = block === 'root' ? text : fileWith(block, text, '');
        const line = file.split('\n').findIndex((candidate) => candidate.startsWith(text)) + 1;
        const severity = keyword.support === 'refused' ? 'error' : 'warning';
        const ignored = keyword.support === 'refused' ? '' : '; it is ignored';
        const more = keyword.consequence === undefined ? '' : `: ${keyword.consequence}`;
        assert.deepEqual(report(file), [
          `pair.conf:${line}:1: ${severity}: ${name} is not supported yet${ignored}${more}`,
        ]);
      }
    }
  });
});
