// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { instance, report, service } from './in-memory.ts';

/** Cases of one block: its lines, and their diagnostics without the file's name. */
type Case = readonly [lines: string, ...said: string[]];

function check(title: string, wrap: (lines: string) => string, firstLine: number, cases: readonly Case[]): void {
  describe(title, () => {
    for (const [lines, ...said] of cases) {
      it(lines.replaceAll('\n', ' ⏎ ') || '(empty)', () => {
        const relative = report(wrap(lines)).map((text) => {
          const [, line = '', rest = ''] = /^pair\.conf:(\d+):(.*)$/s.exec(text) ?? [];
          return `${Number(line) - firstLine + 1}:${rest}`;
        });
        assert.deepEqual(relative, said);
      });
    }
  });
}

check('baton', (lines) => `global_defs {\nlvs_sync_daemon eth0\n}\nbaton {\n${lines}\n}`, 5, [
  ['preempt_without_sync', '1:1: error: preempt_without_sync needs a value'],
  ['preempt_without_sync never', '1:22: error: preempt_without_sync must be seconds from 0 to 86400, not "never"'],
  ['max_adopted_interval 41', '1:22: error: max_adopted_interval must be seconds from 0.01 to 40.95, not "41"'],
  ['track_routes never', '1:14: error: track_routes must be on or off, not "never"'],
  ['sloppy_tcp maybe', '1:12: error: sloppy_tcp must be on or off, not "maybe"'],
  ['defer maybe', '1:7: error: defer must be on or off, not "maybe"'],
  ['preempt_delay 1', '1:1: error: preempt_delay does not belong in baton: it belongs in vrrp_instance'],
]);

check('baton without synchronisation', (lines) => `baton {\n${lines}\n}`, 2, [
  [
    'preempt_without_sync 1',
    '1:1: warning: preempt_without_sync says nothing without lvs_sync_daemon: a director without synchronisation preempts as in keepalived',
  ],
  ['defer', '1:1: warning: defer says nothing without lvs_sync_daemon: there is no peer to wait for'],
]);

check('the top level', (lines) => lines, 1, [
  ['foo', '1:1: error: unknown keyword "foo" in the top level'],
  ['globel_defs { }', '1:1: error: unknown keyword "globel_defs": did you mean global_defs?'],
  [
    'virtualserver 1.2.3.4 80 {\nfoo {\n}\n}',
    '1:1: error: unknown keyword "virtualserver": did you mean virtual_server?',
  ],
  ['priority 1', '1:1: error: priority does not belong in the top level: it belongs in vrrp_instance'],
  ['priorty 1', '1:1: error: unknown keyword "priorty": did you mean priority, which belongs in vrrp_instance?'],
  ['global_defs', '1:1: error: global_defs needs a block: { … }'],
  ['use_pid_dir', '1:1: warning: use_pid_dir is not supported yet; it is ignored'],
  [
    'net_namespace red',
    '1:1: error: net_namespace is not supported yet: start baton inside the namespace, as in `ip netns exec NAME baton run`',
  ],
  [
    'static_routes {\n192.0.2.0/24 via 10.0.0.1\n}',
    '1:1: warning: static_routes is not supported yet; it is ignored: set the routes up outside',
  ],
  [
    'vrrp_script check {\nscript "/bin/true"\ninterval 2\nfoo\n}',
    '1:1: warning: vrrp_script is not supported yet; it is ignored',
    '4:1: error: unknown keyword "foo" in vrrp_script',
  ],
  [
    'vrrp_sync_group G {\ngroup {\nVI_1\n}\nrise 1\n}',
    '1:1: warning: vrrp_sync_group is not supported yet; it is ignored: its instances fail over one by one',
    '5:1: error: rise does not belong in vrrp_sync_group: it belongs in vrrp_script',
  ],
  [
    'vrrp_instance A { include b.conf\n}',
    ...missing('A', '1:15'),
    '1:19: error: include must be the first word of its line',
  ],
]);

function missing(name: string, place: string): string[] {
  return [
    `${place}: error: vrrp_instance ${name} has no interface: a default interface is not supported yet`,
    `${place}: error: vrrp_instance ${name} has no virtual_router_id: give it one from 1 to 255`,
    `${place}: error: vrrp_instance ${name} has no virtual_ipaddress: give it at least one`,
  ];
}

check('global_defs', (lines) => `global_defs {\n${lines}\n}\n`, 2, [
  ['router_id', '1:1: error: router_id needs a value'],
  ['router_id a b c', '1:13: warning: "b" is ignored: router_id takes one value'],
  ['router_id a\nrouter_id b', '2:1: warning: router_id is given already at pair.conf:2: the last one counts'],
  ['router_id a {\n}', '1:13: error: router_id takes no block'],
  ['vrrp_version 4', '1:14: error: vrrp_version must be a whole number from 2 to 3, not "4"'],
  [
    'vrrp_mcast_group4 224.0.0.99',
    '1:19: error: another group than 224.0.0.18 is not supported yet: its peers would not hear this one',
  ],
  ['vrrp_mcast_group4 224.0.0.18\nvrrp_mcast_group6 FF02:0::12\nvrrp_check_unicast_src'],
  [
    'vrrp_mcast_group6 ff02::13',
    '1:19: error: another group than ff02::12 is not supported yet: its peers would not hear this one',
  ],
  ['v3_checksum_as_v2 maybe', '1:19: error: v3_checksum_as_v2 must be on or off, not "maybe"'],
  [
    'default_interface eth0',
    '1:1: warning: default_interface is not supported yet; it is ignored: give every vrrp_instance its interface',
  ],
  ['vrrp_garp_master_repeat 0', '1:1: warning: vrrp_garp_master_repeat must be at least 1: it counts as 1'],
  [
    'vrrp_garp_master_delay 1.5',
    '1:24: error: vrrp_garp_master_delay must be a whole number from 0 to 4294, not "1.5"',
  ],
  ['vrrp_garp_interval 0', '1:20: error: vrrp_garp_interval must be seconds from 0.000001 to 4294, not "0"'],
  ['vrrp_garp_interval 1', '1:1: warning: vrrp_garp_interval is very long: it delays every takeover'],
  ['expire_nodest_conn', '1:1: error: expire_nodest_conn needs a value'],
  ['expire_nodest_conn on', '1:20: error: unknown expire_nodest_conn option "on": it takes none, udp, all'],
  ['lvs_timeouts', '1:1: error: lvs_timeouts needs at least one of tcp, tcpfin, udp'],
  ['lvs_timeouts tcp', '1:14: error: lvs_timeouts tcp needs a value'],
  ['lvs_timeouts tcp x', '1:18: error: lvs_timeouts tcp must be a whole number from 0 to 2678400, not "x"'],
  [
    'lvs_timeouts tcpfn 1',
    '1:14: error: unknown lvs_timeouts option "tcpfn": did you mean tcpfin?',
    '1:20: error: unknown lvs_timeouts option "1": it takes tcp, tcpfin, udp',
  ],
  ['lvs_sync_daemon', '1:1: error: lvs_sync_daemon needs an interface'],
  [
    'lvs_sync_daemon abcdefghijklmnop',
    '1:17: error: "abcdefghijklmnop" is no interface name: at most 15 characters, no blank and no slash',
  ],
  ['lvs_sync_daemon eth0 VI_9', '1:22: error: lvs_sync_daemon names vrrp_instance "VI_9", which does not exist'],
  [
    'lvs_sync_daemon eth0 VI_9 7',
    '1:22: error: lvs_sync_daemon names vrrp_instance "VI_9", which does not exist',
    '1:27: warning: write id before 7: a number alone is an older form',
  ],
  ['lvs_sync_daemon eth0 id 256', '1:25: error: lvs_sync_daemon id must be a whole number from 0 to 255, not "256"'],
  [
    'lvs_sync_daemon eth0 maxlen 65508',
    '1:29: error: lvs_sync_daemon maxlen must be a whole number from 1 to 65507, not "65508"',
  ],
  ['lvs_sync_daemon eth0 id 1 port', '1:27: error: lvs_sync_daemon port needs a value'],
  [
    'lvs_sync_daemon eth0 id 1 prot 5',
    '1:27: error: unknown lvs_sync_daemon option "prot": did you mean port?',
    '1:32: error: unknown lvs_sync_daemon option "5": it takes inst, id, maxlen, port, ttl, group',
  ],
  [
    'lvs_sync_daemon eth0 group 10.0.0.1',
    '1:28: error: 10.0.0.1 is not a multicast group: give one from 224.0.0.0/4 or ff00::/8',
  ],
  ['lvs_sync_daemon eth0 group ff02::1'],
  [
    'lvs_sync_daemon eth0 group fe80::1',
    '1:28: error: fe80::1 is not a multicast group: give one from 224.0.0.0/4 or ff00::/8',
  ],
  ['lvs_sync_daemon eth0 group x', '1:28: error: "x" is not an IP address'],
]);

check('vrrp_instance', (lines) => instance(lines), 5, [
  ['state master', '1:7: error: state must be MASTER or BACKUP, not "master"'],
  ['priority 0', '1:10: error: priority must be a whole number from 1 to 255, not "0"'],
  ['priority 256', '1:10: error: priority must be a whole number from 1 to 255, not "256"'],
  ['priority -1', '1:10: error: priority must be a whole number from 1 to 255, not "-1"'],
  [
    'virtual_router_id 0',
    '1:1: warning: virtual_router_id is given already at pair.conf:3: the last one counts',
    '1:19: error: virtual_router_id must be a whole number from 1 to 255, not "0"',
  ],
  ['version 1', '1:9: error: version must be a whole number from 2 to 3, not "1"'],
  ['advert_int 0', '1:12: error: advert_int must be seconds from 0.01 to 255, not "0"'],
  ['advert_int 1s', '1:12: error: advert_int must be seconds from 0.01 to 255, not "1s"'],
  ['advert_int .', '1:12: error: advert_int must be seconds from 0.01 to 255, not "."'],
  [
    'advert_int 0.1',
    '1:12: warning: VRRP version 2 has whole seconds only, not 0.1: 1 s is used; for less than a second write version 3',
  ],
  [
    'version 3\nadvert_int 0.105',
    '2:12: warning: VRRP version 3 has hundredths of a second only, not 0.105: 0.11 s is used',
  ],
  ['version 3\nadvert_int 41', '2:12: warning: VRRP version 3 has no advert_int above 40.95 s: 40.95 s is used'],
  ['preempt_delay 1001', '1:15: error: preempt_delay must be seconds from 0 to 1000, not "1001"'],
  [
    'state MASTER\npriority 100\nnopreempt',
    '3:1: warning: nopreempt does not work with state MASTER and is ignored: write state BACKUP',
  ],
  [
    'state MASTER\npreempt_delay 5',
    '2:1: warning: preempt_delay does not work with state MASTER and is ignored: write state BACKUP',
  ],
  ['nopreempt\npreempt_delay 5', '2:1: warning: preempt_delay has no effect with nopreempt: it is ignored'],
  ['state BACKUP\npriority 255\nnopreempt', '3:1: warning: nopreempt has no effect with priority 255: it is ignored'],
  ['nopreempt on', '1:11: warning: "on" is ignored: nopreempt takes no value'],
  ['accept'],
  ['preempt'],
  [
    'unicast_peer {\n192.0.2.2 min_ttl 1 max_ttl 255\n}\nunicast_src_ip 192.0.2.3\ncheck_unicast_src\nunicast_fault_no_peer',
  ],
  [
    'unicast_peer {\n192.0.2.2\n192.0.2.2\n192.0.2\n2001:db8::2\n192.0.2.4 {\n}\n}',
    '3:1: warning: 192.0.2.2 is given already at pair.conf:6: this one is ignored',
    '4:1: error: "192.0.2" is not an IP address',
    '5:1: error: 2001:db8::2 is not an IPv4 address as those of vrrp_instance VI_1 are',
    '6:11: error: a unicast_peer takes no block',
  ],
  [
    'unicast_peer {\n192.0.2.2 min_ttl 255 max_ttl 254\n192.0.2.3 min_ttl 256\n192.0.2.4 max_tl 1\n192.0.2.5 max_ttl\n}',
    '2:1: error: min_ttl 255 is above max_ttl 254: nothing would be taken from 192.0.2.2',
    '3:19: error: min_ttl must be a whole number from 0 to 255, not "256"',
    '4:11: error: unknown unicast_peer option "max_tl": did you mean max_ttl?',
    '5:11: error: max_ttl needs a value',
  ],
  [
    'unicast_peer {\n192.0.2.2\n192.0.2.3\n}\nunicast_src_ip 192.0.2.3',
    "3:1: error: 192.0.2.3 is the source of this director's own advertisements: name only its peers",
  ],
  [
    'unicast_src_ip 192.0.2.3',
    '1:1: warning: vrrp_instance VI_1 has no unicast_peer: its advertisements go to the multicast group',
  ],
  [
    'unicast_peer {\n}\nunicast_fault_no_peer',
    '3:1: error: vrrp_instance VI_1 has no unicast_peer, and unicast_fault_no_peer forbids it to use multicast',
  ],
  ['unicast_src_ip x\nunicast_peer {\n192.0.2.2\n}', '1:16: error: "x" is not an IP address'],
  ['mcast_src_ip ::1', '1:14: error: ::1 is not an IPv4 address as those of vrrp_instance VI_1 are'],
  [
    'mcast_src_ip 192.0.2.3\nunicast_src_ip 192.0.2.4\nunicast_peer {\n192.0.2.2\n}',
    '2:1: warning: unicast_src_ip is given already at pair.conf:5: the last one counts',
  ],
  [
    'unicast_ttl 1',
    '1:1: warning: unicast_ttl is not supported yet; it is ignored: advertisements are sent with TTL 255',
  ],
  ['native_ipv6', '1:1: error: native_ipv6 does not go with the IPv4 addresses of vrrp_instance VI_1'],
  [
    'virtual_ipaddress_excluded {\n192.0.2.2\n}',
    '1:1: error: virtual_ipaddress_excluded is not supported yet: nobody would hold these addresses; move them to virtual_ipaddress',
  ],
  [
    'use_vmac',
    "1:1: warning: use_vmac is not supported yet; it is ignored: the addresses are announced with the interface's own MAC address",
  ],
  [
    'authentication {\nauth_type PASS\nauth_pas 1\n}',
    '1:1: warning: authentication is not supported yet; it is ignored: a keepalived peer that has it in version 2 refuses these advertisements',
    '3:1: error: unknown keyword "auth_pas": did you mean auth_pass?',
  ],
  [
    'auth_hmac {\nactive_key 1\n}',
    '1:1: error: auth_hmac is not supported yet: anybody on the link could take the addresses over',
  ],
  ['notify_master "/bin/x \'a b\'"', '1:1: warning: notify_master is not supported yet; it is ignored'],
  ['garp_interval 1', '1:1: error: garp_interval does not belong in vrrp_instance: it belongs in garp_group'],
  [
    'virtual_server 1.2.3.4 80 {\n}',
    '1:1: error: virtual_server does not belong in vrrp_instance: it belongs in the top level',
  ],
  [
    'delay_loop 3',
    '1:1: error: delay_loop does not belong in vrrp_instance: it belongs in virtual_server, real_server or TCP_CHECK',
  ],
]);

check('virtual_ipaddress', (lines) => instance(`virtual_ipaddress {\n${lines}\n}`), 6, [
  ['192.0.2', '1:1: error: "192.0.2" is not an address: write ADDRESS or ADDRESS/LENGTH'],
  ['192.0.2.1/33', '1:1: error: "192.0.2.1/33" is not an address: write ADDRESS or ADDRESS/LENGTH'],
  [
    '2001:db8::1',
    '1:1: error: 2001:db8::1 is not an IPv4 address as the first one is: make a second vrrp_instance for it',
  ],
  ['192.0.2.10', '1:1: warning: 192.0.2.10 is given already at pair.conf:4: this one is ignored'],
  ['192.0.2.11 dev', '1:12: error: dev needs a value'],
  [
    '192.0.2.11 lable a no_trak',
    '1:12: error: unknown address option "lable": did you mean label?',
    '1:18: error: unknown address option "a": it takes dev, brd, broadcast, scope, label',
    '1:20: error: unknown address option "no_trak": did you mean no_track?',
  ],
  ['192.0.2.11/31 brd +', '1:19: error: a /31 has no broadcast address: leave brd out'],
  ['192.0.2.11/24 brd x', '1:19: error: "x" is not a broadcast address: write an IPv4 address, + or -'],
  ['192.0.2.11 scope lnk', '1:18: error: unknown scope option "lnk": did you mean link?'],
  ['192.0.2.11 scope 256', '1:18: error: scope must be a whole number from 0 to 255, not "256"'],
  ['192.0.2.11 label abcdefghijklmnop', '1:18: error: the label "abcdefghijklmnop" is longer than 15 characters'],
  [
    '192.0.2.11 preferred_lft 0 no_track',
    '1:12: warning: preferred_lft is not supported yet; it is ignored',
    '1:28: warning: no_track is not supported yet; it is ignored',
  ],
  ['192.0.2.11 peer 192.0.2.12', '1:12: error: peer is not supported yet: the address would be another one'],
  ['192.0.2.11 {\n}', '1:12: error: an address takes no block'],
]);

check('virtual_server', (lines) => service(lines), 6, [
  ['lb_algo rr', '1:1: warning: lb_algo is given already at pair.conf:3: the last one counts'],
  [
    'lb_kind TUN',
    '1:1: warning: lb_kind is given already at pair.conf:4: the last one counts',
    '1:9: error: TUN is not supported yet: choose NAT or DR',
  ],
  ['delay_loop 0', '1:12: error: delay_loop must be seconds from 0.000001 to 31536000, not "0"'],
  ['retry 0', '1:7: error: retry must be a whole number from 1 to 4294967295, not "0"'],
  ['connect_timeout 0', '1:17: error: connect_timeout must be seconds from 0.000001 to 4294, not "0"'],
  ['weight 0', '1:8: error: weight must be a whole number from 1 to 65535, not "0"'],
  ['sh-port', '1:1: warning: sh-port has no effect with the scheduler wrr: it is ignored'],
  ['persistence_timeout 0', '1:21: error: persistence_timeout must be a whole number from 1 to 2678400, not "0"'],
  ...['24', '255.0.255.0', '0.0.0.0', '::'].map(
    (mask): Case => [
      `persistence_granularity ${mask}`,
      `1:25: error: persistence_granularity must be a netmask such as 255.255.255.0, ones before zeros, not "${mask}"`,
    ],
  ),
  ['ops', '1:1: warning: ops has no effect without protocol UDP: it is ignored'],
  ['ip_family inet'],
  ['ip_family inet6', '1:11: error: ip_family inet6 does not go with 192.0.2.10, an IPv4 address'],
  ['ip_family ipv4', '1:11: error: ip_family must be inet or inet6, not "ipv4"'],
  ['quorum 0', '1:8: error: quorum must be a whole number from 1 to 4294967295, not "0"'],
  [
    'quorum 3\nhysteresis 1',
    '1:1: warning: the weights of all real servers together are less than the quorum 3: 1 is used',
    '2:1: warning: hysteresis 1 must be below the quorum 1: 0 is used',
  ],
  ['sorry_server', '1:1: error: sorry_server needs an address and a port'],
  [
    'sorry_server 10.0.0.9 81\nsorry_server_lvs_method DR',
    '1:23: warning: DR cannot change the port 80 to 81: 80 is used',
  ],
  [
    'sorry_server_lvs_method DR\nsorry_server 10.0.0.9 81',
    '1:1: warning: sorry_server_lvs_method is ignored: no sorry_server stands before it',
  ],
  [
    'sorry_server ::1 80\nsorry_server_inhibit',
    '1:14: error: ::1 is not an IPv4 address: the virtual_server is IPv4, and only TUN, which is not supported yet, crosses families',
    '2:1: warning: sorry_server_inhibit is not supported yet; it is ignored: clients that stay with it go back to the real servers with their next connection',
  ],
  ['real_server 10.0.0.2 81 {\nuthreshold 5\nlthreshold 6\n}', '3:1: error: lthreshold 6 is above uthreshold 5'],
  ['real_server 10.0.0.2 81 {\nlthreshold 6\n}', '2:1: error: lthreshold 6 is above uthreshold 0'],
  ['real_server 10.0.0.2 81 {\nalpha maybe\n}', '2:7: error: alpha must be on or off, not "maybe"'],
  ['real_server { }', '1:1: error: real_server needs an address and a port'],
  ['real_server x 80 { }', '1:13: error: "x" is not an IP address'],
  [
    'real_server 2001:db8::1 80 { }',
    '1:13: error: 2001:db8::1 is not an IPv4 address: the virtual_server is IPv4, and only TUN, which is not supported yet, crosses families',
  ],
  [
    'connect_timeout 1\nsorry_server 10.0.0.3 http',
    '2:23: error: the port must be a whole number from 1 to 65535, not "http"',
  ],
  ['real_server 10.0.0.2 65536 { }', '1:22: error: the port must be a whole number from 1 to 65535, not "65536"'],
  ['real_server 10.0.0.2 80 1 { }', '1:25: warning: "1" is ignored: real_server takes an address and a port'],
  [
    'real_server 10.0.0.1 8080 { }',
    '1:1: warning: this real_server is given already at pair.conf:5: this one is ignored',
  ],
  ['real_server 10.0.0.2 81 {\nlvs_method DR\n}', '1:22: warning: DR cannot change the port 80 to 81: 80 is used'],
  [
    'real_server 10.0.0.2 81 {\nweight 65536\n}',
    '2:8: error: weight must be a whole number from 0 to 65535, not "65536"',
  ],
  [
    'real_server 10.0.0.2 81 {\nlb_kind DR\n}',
    '2:1: error: lb_kind does not belong in real_server: it belongs in virtual_server',
  ],
  [
    'real_server 10.0.0.2 81 {\nHTTP_GET {\nurl {\npath /\nfoo\n}\n}\n}',
    '2:1: warning: HTTP_GET is not supported yet; it is ignored: the real server counts as up unless another check says otherwise',
    '5:1: error: unknown keyword "foo" in url',
  ],
  ['real_server 10.0.0.2 81 {\nTCP_CHECK\n}', '2:1: error: TCP_CHECK needs a block: { … }'],
  [
    'real_server 10.0.0.2 81 {\nTCP_CHECK {\nretry -1\nconnect_port 0\nconnect_ip 1\nbindto 10.0.0.9\n}\n}',
    '3:7: error: retry must be a whole number from 0 to 4294967295, not "-1"',
    '4:14: error: connect_port must be a whole number from 1 to 65535, not "0"',
    '5:12: error: "1" is not an IP address',
    '6:1: warning: bindto is not supported yet; it is ignored',
  ],
]);

check('the head of a virtual_server', (lines) => service('', lines), 1, [
  ['', '1:1: error: virtual_server needs an address and a port'],
  ['192.0.2.10', '1:1: error: a virtual_server for all ports is not supported yet: give a port'],
  ['192.0.2.10 0', '1:27: error: a virtual_server for all ports is not supported yet: give a port'],
  ['192.0.2.10 http', '1:27: error: the port must be a whole number from 1 to 65535, not "http"'],
  ['192.0.2.10 80 81', '1:30: warning: "81" is ignored: virtual_server takes an address and a port'],
  [
    '2001:db8::1 80',
    '5:13: error: 10.0.0.1 is not an IPv6 address: the virtual_server is IPv6, and only TUN, which is not supported yet, crosses families',
  ],
  [
    'fe80::1 80',
    '1:16: error: fe80::1 is a link-local address, which is one only on its interface: give another',
    '5:13: error: 10.0.0.1 is not an IPv6 address: the virtual_server is IPv6, and only TUN, which is not supported yet, crosses families',
  ],
  ['fwmark 1', '1:16: error: virtual_server fwmark is not supported yet: write virtual_server ADDRESS PORT'],
  ['group G', '1:16: error: virtual_server group is not supported yet: write virtual_server ADDRESS PORT'],
]);

check('the body of a virtual_server', (lines) => `virtual_server 192.0.2.10 80 {\n${lines}\n}`, 2, [
  [
    '',
    '0:1: warning: the virtual_server has no protocol: UDP is used',
    '0:1: warning: the virtual_server has no lvs_sched: wlc is used',
    '0:1: warning: the virtual_server has no real_server: it is ignored',
  ],
  ['protocol UDP\nops\nlb_algo rr\nlb_kind NAT\nreal_server 10.0.0.1 1 { }'],
  [
    'protocol sctp\nlb_algo rr\nlb_kind NAT\nreal_server 10.0.0.1 1 { }',
    '1:10: error: SCTP is not supported yet: only TCP and UDP are',
  ],
  [
    'protocol TPC\nlb_algo rr\nlb_kind NAT\nreal_server 10.0.0.1 1 { }',
    '1:10: error: protocol must be TCP or UDP, not "TPC"',
  ],
  [
    'protocol TCP\nlb_algo sed\nlb_kind NAT\nreal_server 10.0.0.1 1 { }',
    '2:9: error: the scheduler sed is not supported yet: choose one of rr, wrr, lc, wlc, sh, mh',
  ],
  [
    'protocol TCP\nlb_algo wlcc\nlb_kind NAT\nreal_server 10.0.0.1 1 { }',
    '2:9: error: unknown scheduler "wlcc": did you mean wlc?',
  ],
  [
    'protocol TCP\nlb_algo\nlb_kind\nreal_server 10.0.0.1 1 { }',
    '2:1: error: lb_algo needs a scheduler: rr, wrr, lc, wlc, sh, mh',
    '3:1: error: lb_kind needs a value',
  ],
  [
    'protocol TCP\nlb_algo rr ops\nlb_kind FULLNAT\nreal_server 10.0.0.1 1 { }',
    '2:12: warning: "ops" is ignored: lb_algo takes a scheduler and its flags',
    '3:9: error: lb_kind must be NAT or DR, not "FULLNAT"',
  ],
  [
    'protocol TCP\nlb_algo rr\nreal_server 10.0.0.1 1 { }',
    '0:1: warning: the virtual_server has no lvs_method: NAT is used',
  ],
  ['protocol TCP\nlb_algo rr\nreal_server 10.0.0.1 1 {\nlvs_method NAT\n}'],
]);

const ipv6 = (lines: string): string =>
  `vrrp_instance V6 {\ninterface eth0\nvirtual_router_id 6\nvirtual_ipaddress {\n2001:db8::10/64\n}\n${lines}\n}\n`;

check('a vrrp_instance with IPv6', ipv6, 7, [
  ['native_ipv6\nversion 3\nmcast_src_ip fe80::2\nadvert_int 0.1'],
  ['version 2', '1:1: error: VRRP version 2 has no IPv6: write version 3'],
  [
    'virtual_ipaddress {\nfe80::10/64 brd +\n2001:db8::11 label x\n2001:db8:0::11\n192.0.2.1\n}',
    '2:17: error: IPv6 has no broadcast address: leave brd out',
    '3:20: warning: IPv6 has no labels: label is ignored',
    '4:1: warning: 2001:db8::11 is given already at pair.conf:9: this one is ignored',
    '5:1: error: 192.0.2.1 is not an IPv6 address as the first one is: make a second vrrp_instance for it',
  ],
  [
    `virtual_ipaddress {\n${Array.from({ length: 89 }, (_, i) => `2001:db8:1::${i.toString(16)}`).join('\n')}\n}`,
    '90:1: error: an advertisement holds at most 89 IPv6 addresses: make a second vrrp_instance',
  ],
  ['unicast_peer {\n192.0.2.2\n}', '2:1: error: 192.0.2.2 is not an IPv6 address as those of vrrp_instance V6 are'],
]);

check('several blocks', (lines) => lines, 1, [
  [
    instance() + instance('', 'VI_1', 52, '192.0.2.11'),
    '7:15: error: vrrp_instance VI_1 is defined already at pair.conf:1: give this one another name',
  ],
  [
    instance() + instance('', 'VI_2', 51, '192.0.2.11'),
    '7:15: error: virtual_router_id 51 on eth0 belongs to vrrp_instance VI_1 at pair.conf:1 already: choose another',
  ],
  [
    instance() + instance('', 'VI_2', 52),
    '10:21: warning: 192.0.2.10 is a virtual address of vrrp_instance VI_1 too: two directors could hold it at once',
  ],
  [
    service() + service(),
    '8:1: error: the virtual_server tcp 192.0.2.10:80 is defined already at pair.conf:1: put its real servers there',
  ],
  [
    `\n${instance()}${service()}`,
    '1:1: warning: connections are not replicated, so that sessions break at a failover: add `lvs_sync_daemon eth0 VI_1` to global_defs',
  ],
  [
    `${instance()}${service()}global_defs { router_id a }`,
    '14:1: warning: connections are not replicated, so that sessions break at a failover: add `lvs_sync_daemon eth0 VI_1` to global_defs',
  ],
  [`${instance()}${service()}global_defs { lvs_sync_daemon eth0 }`],
  ['vrrp_instance {\n}', '1:1: error: vrrp_instance needs a value'],
]);
