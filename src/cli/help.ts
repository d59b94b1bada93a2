// SPDX-License-Identifier: Apache-2.0

export const helpText = `baton: an active-passive layer-4 load balancer pair

  baton run -f FILE [--run-dir DIR] [--engine auto|xdp|portable] [--config-id ID]
      run a director in the foreground, in this network namespace
      SIGTERM resigns and exits 0; SIGHUP reads FILE again
  baton check -f FILE [--config-id ID] [--json]
      validate a configuration: exit 0 clean or warnings only, 1 errors, 2 cannot read
  baton status [--run-dir DIR] [--json]
      virtual routers, sync, services and real servers of a running director
  baton connections [--run-dir DIR] [--json]
      its connection table; --json prints one object a line
  baton failover [--run-dir DIR]
      hand over to the other director on purpose
  baton drill [--help]
      build a lab of network namespaces, break a pair in it, and report

The run-dir is /run/baton unless named. Exit codes: 0 done, 1 failed, 2 wrong usage or unreadable input.
`;
