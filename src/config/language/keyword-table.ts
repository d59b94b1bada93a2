// SPDX-License-Identifier: Apache-2.0
import { vrrpGroups } from '../../model/virtual-router.ts';

/** A block whose statements are keywords. `root` is the top level of a file. */
export type BlockName = string;

/** A keyword is followed by words only, by a block of keywords, or by a block of values (addresses, names). */
export type Shape = 'words' | 'keywords' | 'values';

export interface Keyword {
  /**
   * - `supported`: has the same meaning as in keepalived.
   * - `ignored`: known to keepalived, not supported yet, and the pair works without it: a warning.
   * - `refused`: known to keepalived, not supported yet, and without it packets would go astray: an error.
   */
  readonly support: 'supported' | 'ignored' | 'refused';
  readonly shape: Shape;
  /** The block's name in the table, for `keywords`. */
  readonly block: BlockName | undefined;
  /** The effect of ignoring the keyword, or what to write instead. */
  readonly consequence: string | undefined;
  /** keepalived reads its words with quotes of both kinds and escapes. */
  readonly isScript: boolean;
  /** The keyword may stand in its block more than once; of any other the last one counts. */
  readonly isRepeatable: boolean;
}

interface BlockDefinition {
  /** The block's name in diagnostics. */
  readonly title: string;
  readonly supported: string;
  readonly ignored?: string;
  readonly refused?: string;
}

const connectionKeywords = 'connect_ip connect_port bindto bind_port bind_if connect_timeout fwmark';
const checkerKeywords = 'retry delay_before_retry warmup delay_loop alpha log_all_failures';
const httpKeywords = `nb_get_retry virtualhost http_protocol enable_sni sni_name fast_recovery tls_compliant url{} ${connectionKeywords} ${checkerKeywords}`;

/**
 * Every keyword that keepalived 2.4.3 installs (global_parser.c, vrrp_parser.c, check_parser.c, check_*.c,
 * bfd_parser.c, track_file.c), by block. A mark behind a keyword gives its shape: `{}` a block of keywords, `[]` a
 * block of values; `'` a script with its own quoting. A `*` behind that: it may be given more than once.
 */
const definitions: Readonly<Record<BlockName, BlockDefinition>> = {
  root: {
    title: 'the top level',
    supported: 'global_defs{}* vrrp_instance{}* virtual_server{}* baton{}*',
    ignored: `linkbeat_use_polling namespace_with_ipsets use_pid_dir instance child_wait_time linkbeat_interfaces[]
      interface_up_down_delays[] track_group{} static_ipaddress[] static_routes[] static_rules[] track_file{}
      vrrp_track_file{} vrrp_track_process{} bfd_instance{} vrrp_script{} vrrp_sync_group{} garp_group{} SSL{}
      virtual_server_group[]`,
    refused: 'net_namespace net_namespace_ipvs',
  },
  global_defs: {
    title: 'global_defs',
    supported: `router_id vrrp_version lvs_sync_daemon lvs_timeouts vrrp_garp_master_delay vrrp_garp_master_repeat
      vrrp_garp_master_refresh vrrp_garp_master_refresh_repeat vrrp_garp_interval vrrp_mcast_group4
      vrrp_mcast_group6 vrrp_check_unicast_src v3_checksum_as_v2 expire_nodest_conn`,
    ignored: `process_names process_name vrrp_process_name checker_process_name lvs_process_name bfd_process_name
      use_symlink_paths set_supplementary_groups notification_email_from smtp_server smtp_helo_name
      smtp_connect_timeout notification_email[] smtp_alert startup_script' startup_script_timeout shutdown_script'
      shutdown_script_timeout max_auto_priority min_auto_priority_delay smtp_alert_vrrp smtp_alert_checker
      checker_log_all_failures dynamic_interfaces no_email_faults default_interface disable_local_igmp lvs_flush
      lvs_flush_on_stop lvs_flush_onstop vrrp_garp_lower_prio_delay vrrp_garp_lower_prio_repeat
      vrrp_down_timer_adverts vrrp_gna_interval vrrp_min_garp vrrp_garp_extra_if vrrp_vmac_garp_intvl
      vrrp_lower_prio_no_advert vrrp_higher_prio_send_advert vrrp_iptables vrrp_ipsets nftables nftables_priority
      nftables_ifindex vrrp_skip_check_adv_addr vrrp_strict vrrp_priority vrrp_no_swap
      vrrp_rt_priority vrrp_cpu_affinity vrrp_rlimit_rttime vrrp_rlimit_rtime nftables_ipvs nftables_ipvs_priority
      nftables_ipvs_start_fwmark nftables_counters notify_fifo notify_fifo_script' vrrp_notify_fifo
      vrrp_notify_fifo_script' vrrp_notify_priority_changes fifo_write_vrrp_states_on_reload lvs_notify_fifo
      lvs_notify_fifo_script' checker_priority checker_no_swap checker_rt_priority checker_cpu_affinity
      checker_rlimit_rttime checker_rlimit_rtime bfd_priority bfd_no_swap bfd_rt_priority bfd_cpu_affinity
      bfd_rlimit_rttime bfd_rlimit_rtime snmp_socket enable_traps enable_snmp_vrrp enable_snmp_keepalived
      enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3 enable_snmp_checker snmp_vs_stats_update_interval
      snmp_rs_stats_update_interval enable_dbus dbus_service_name dbus_no_interface_name script_user
      enable_script_security vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs
      vrrp_netlink_monitor_rcv_bufs_force process_monitor_rcv_bufs process_monitor_rcv_bufs_force
      lvs_netlink_cmd_rcv_bufs lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs
      lvs_netlink_monitor_rcv_bufs_force rs_init_notifies no_checker_emails vrrp_rx_bufs_policy
      vrrp_rx_bufs_multiplier vrrp_startup_delay vrrp_delay_after_boot log_unknown_vrids vrrp_owner_ignore_adverts
      vmac_prefix vmac_addr_prefix umask random_seed reload_check_config reload_time_file reload_repeat reload_file
      include_check config_save_dir tmp_config_directory data_use_instance json_version iproute_usr_dir
      iproute_etc_dir state_dump_file stats_dump_file json_dump_file`,
  },
  // baton's own settings: keepalived does not know the block, logs that and goes on.
  baton: { title: 'baton', supported: 'preempt_without_sync max_adopted_interval track_routes sloppy_tcp defer' },
  vrrp_instance: {
    title: 'vrrp_instance',
    supported: `state interface virtual_router_id priority advert_int version virtual_ipaddress[]* preempt nopreempt
      preempt_delay garp_master_delay garp_master_refresh garp_master_repeat garp_master_refresh_repeat accept
      native_ipv6 unicast_peer[]* unicast_src_ip mcast_src_ip check_unicast_src unicast_fault_no_peer
      v3_checksum_as_v2`,
    ignored: `use_vmac use_vmac_addr vmac_xmit_base use_ipvlan old_unicast_checksum dont_track_primary
      track_interface[] track_script[] track_file[]
      track_process[] track_bfd[] track_src_ip unicast_ttl no_virtual_ipaddress
      promote_secondaries linkbeat_use_polling no_accept skip_check_adv_addr strict_mode debug notify_backup'
      notify_master' notify_fault' notify_stop' notify_deleted' notify' notify_master_rx_lower_pri' smtp_alert
      notify_priority_changes lvs_sync_daemon_interface garp_lower_prio_delay garp_lower_prio_repeat
      down_timer_adverts timer_expired_backup thread_timer_expired garp_extra_if vmac_garp_intvl lower_prio_no_advert
      higher_prio_send_advert owner_ignore_adverts kernel_rx_buf_size authentication{}`,
    refused: `mcast_dst_ip vrf virtual_ipaddress_excluded[] virtual_routes[]
      virtual_rules[] auth_hmac{}`,
  },
  virtual_server: {
    title: 'virtual_server',
    supported: `retry delay_before_retry warmup connect_timeout delay_loop lb_algo lvs_sched flag-1 flag-2 sh-port
      sh-fallback mh-port mh-fallback lb_kind lvs_method protocol weight real_server{}* ip_family ops
      persistence_timeout persistence_granularity alpha quorum hysteresis inhibit_on_failure sorry_server
      sorry_server_lvs_method`,
    ignored: `hashed flag-3 persistence_engine ha_suspend smtp_alert virtualhost snmp_name omega quorum_up'
      quorum_down' sorry_server_inhibit`,
  },
  real_server: {
    title: 'real_server',
    supported: `weight lvs_method retry delay_before_retry warmup connect_timeout delay_loop alpha uthreshold lthreshold
      max_connection_rate inhibit_on_failure TCP_CHECK{}*`,
    ignored: `notify_up' notify_down' smtp_alert virtualhost snmp_name
      MISC_CHECK{} SMTP_CHECK{} PING_CHECK{} UDP_CHECK{} HTTP_GET{} SSL_GET{} DNS_CHECK{} FILE_CHECK{} BFD_CHECK{}`,
  },
  TCP_CHECK: {
    title: 'TCP_CHECK',
    supported: 'connect_ip connect_port connect_timeout retry delay_before_retry warmup delay_loop alpha',
    ignored: 'bindto bind_port bind_if fwmark log_all_failures',
  },
  authentication: { title: 'authentication', supported: '', ignored: 'auth_type auth_pass' },
  auth_hmac: { title: 'auth_hmac', supported: '', ignored: 'key active_key time_window anti_replay mode' },
  vrrp_sync_group: {
    title: 'vrrp_sync_group',
    supported: '',
    ignored: `group[] track_interface[] track_script[] track_file[] track_process[] track_bfd[] notify_backup'
      notify_master' notify_fault' notify_stop' notify' smtp_alert global_tracking sync_group_tracking_weight
      notify_priority_changes`,
  },
  vrrp_script: {
    title: 'vrrp_script',
    supported: '',
    ignored: "script' interval timeout weight rise fall user init_fail",
  },
  vrrp_track_process: {
    title: 'vrrp_track_process',
    supported: '',
    ignored: 'process param_match weight quorum quorum_max delay terminate_delay fork_delay full_command',
  },
  track_file: { title: 'track_file', supported: '', ignored: 'file weight init_file' },
  vrrp_track_file: { title: 'vrrp_track_file', supported: '', ignored: 'file weight init_file' },
  track_group: { title: 'track_group', supported: '', ignored: 'group[]' },
  garp_group: { title: 'garp_group', supported: '', ignored: 'garp_interval gna_interval interface interfaces[]' },
  bfd_instance: {
    title: 'bfd_instance',
    supported: '',
    ignored: `source_ip neighbor_ip neighbour_ip min_rx min_tx idle_tx multiplier passive ttl hoplimit max_hops multihop
      weight vrrp checker`,
  },
  SSL: { title: 'SSL', supported: '', ignored: 'password ca certificate key' },
  MISC_CHECK: {
    title: 'MISC_CHECK',
    supported: '',
    ignored: `misc_path' misc_timeout misc_dynamic user ${checkerKeywords}`,
  },
  SMTP_CHECK: {
    title: 'SMTP_CHECK',
    supported: '',
    ignored: `helo_name host{} ${connectionKeywords} ${checkerKeywords}`,
  },
  host: { title: 'host', supported: '', ignored: `${connectionKeywords} ${checkerKeywords}` },
  PING_CHECK: { title: 'PING_CHECK', supported: '', ignored: `${connectionKeywords} ${checkerKeywords}` },
  UDP_CHECK: {
    title: 'UDP_CHECK',
    supported: '',
    ignored: `payload require_reply min_reply_length max_reply_length ${connectionKeywords} ${checkerKeywords}`,
  },
  HTTP_GET: { title: 'HTTP_GET', supported: '', ignored: httpKeywords },
  SSL_GET: { title: 'SSL_GET', supported: '', ignored: httpKeywords },
  url: {
    title: 'url',
    supported: '',
    ignored: `path digest status_code virtualhost regex regex_no_match regex_options regex_min_offset regex_max_offset
      regex_stack tls_compliant`,
  },
  DNS_CHECK: { title: 'DNS_CHECK', supported: '', ignored: `type name ${connectionKeywords} ${checkerKeywords}` },
  FILE_CHECK: { title: 'FILE_CHECK', supported: '', ignored: 'track_file weight' },
  BFD_CHECK: { title: 'BFD_CHECK', supported: '', ignored: 'name alpha' },
};

/** Keywords that have a second name, by that name. */
export const aliases: ReadonlyMap<string, string> = new Map([
  ['lb_algo', 'lvs_sched'],
  ['lb_kind', 'lvs_method'],
  ['mcast_src_ip', 'unicast_src_ip'],
]);

const unchecked = 'the real server counts as up unless another check says otherwise';
const tracking = 'the priority does not change and the director does not leave its place for it';

/** The text after "is not supported yet", for keywords whose absence somebody would notice. */
const consequences: Readonly<Record<BlockName, Readonly<Record<string, string>>>> = {
  root: {
    net_namespace: 'start baton inside the namespace, as in `ip netns exec NAME baton run`',
    net_namespace_ipvs: 'start baton inside the namespace, as in `ip netns exec NAME baton run`',
    vrrp_sync_group: 'its instances fail over one by one',
    static_ipaddress: 'set the addresses up outside',
    static_routes: 'set the routes up outside',
    static_rules: 'set the rules up outside',
  },
  global_defs: {
    default_interface: 'give every vrrp_instance its interface',
  },
  vrrp_instance: {
    mcast_dst_ip: `advertisements go to ${vrrpGroups.ipv4} or ${vrrpGroups.ipv6}, where its peers would not hear them`,
    unicast_ttl: 'advertisements are sent with TTL 255',
    vrf: 'the instance would run on the wrong interface',
    virtual_ipaddress_excluded: 'nobody would hold these addresses; move them to virtual_ipaddress',
    virtual_routes: 'the routes would be missing after a takeover',
    virtual_rules: 'the rules would be missing after a takeover',
    auth_hmac: 'anybody on the link could take the addresses over',
    authentication: 'a keepalived peer that has it in version 2 refuses these advertisements',
    use_vmac: "the addresses are announced with the interface's own MAC address",
    use_ipvlan: 'the addresses are held on the interface itself',
    lvs_sync_daemon_interface: 'write lvs_sync_daemon in global_defs',
    track_interface: tracking,
    track_script: tracking,
    track_file: tracking,
    track_process: tracking,
    track_bfd: tracking,
  },
  virtual_server: {
    persistence_engine: 'clients are told apart by their addresses',
    sorry_server_inhibit: 'clients that stay with it go back to the real servers with their next connection',
  },
  real_server: {
    MISC_CHECK: unchecked,
    SMTP_CHECK: unchecked,
    PING_CHECK: unchecked,
    UDP_CHECK: unchecked,
    HTTP_GET: unchecked,
    SSL_GET: unchecked,
    DNS_CHECK: unchecked,
    FILE_CHECK: unchecked,
    BFD_CHECK: unchecked,
  },
};

export interface KeywordBlock {
  readonly title: string;
  readonly keywords: ReadonlyMap<string, Keyword>;
}

export const keywordTable: ReadonlyMap<BlockName, KeywordBlock> = new Map(
  Object.entries(definitions).map(([name, definition]) => [
    name,
    { title: definition.title, keywords: keywordsOf(name, definition) },
  ]),
);

const scriptKeywords: ReadonlySet<string> = new Set(
  [...keywordTable.values()].flatMap(({ keywords }) =>
    [...keywords].filter(([, keyword]) => keyword.isScript).map(([name]) => name),
  ),
);

/** True when keepalived reads the words after the keyword as a command line, in every block. */
export function isScriptKeyword(keyword: string): boolean {
  return scriptKeywords.has(keyword);
}

/** The titles of the blocks in which `keyword` is valid: only those that support it, if there are any. */
export function blocksWith(keyword: string): string[] {
  const blocks = [...keywordTable.values()].filter((block) => block.keywords.has(keyword));
  const supported = blocks.filter((block) => block.keywords.get(keyword)?.support === 'supported');
  return (supported.length > 0 ? supported : blocks).map((block) => block.title);
}

function keywordsOf(block: BlockName, definition: BlockDefinition): ReadonlyMap<string, Keyword> {
  const keywords = new Map<string, Keyword>();
  for (const support of ['supported', 'ignored', 'refused'] as const) {
    const marked = (definition[support] ?? '').split(/\s+/).filter((word) => word !== '');
    for (const word of marked) {
      const [, name = word, mark, star] = /^(.*?)(\{\}|\[\]|')?(\*)?$/.exec(word) ?? [];
      const shape: Shape = mark === '{}' ? 'keywords' : mark === '[]' ? 'values' : 'words';
      keywords.set(name, {
        support,
        shape,
        block: shape === 'keywords' ? name : undefined,
        consequence: consequences[block]?.[name],
        isScript: mark === "'",
        isRepeatable: star !== undefined,
      });
    }
  }
  return keywords;
}
