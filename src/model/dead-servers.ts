// SPDX-License-Identifier: Apache-2.0

/**
 * `expire_nodest_conn`: the entries that end with their client's next packet when their real server is dead. By default
 * UDP flows do, and an established TCP connection stays with its real server.
 */
export const deadServerPolicies = ['none', 'udp', 'all'] as const;
export type DeadServerPolicy = (typeof deadServerPolicies)[number];

export const defaultDeadServerPolicy: DeadServerPolicy = 'udp';
