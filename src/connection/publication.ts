// SPDX-License-Identifier: Apache-2.0

// What both engines hold to, so that a session is safe from the moment its client has seen it established (promise P9).

/**
 * While the oldest event that has not left for the peers is older than this, no new connection is admitted: if the director
 * is killed, no more connections than those of this time are unknown to the peer.
 */
export const publishLagMaxMs = 5;

/**
 * TCP connections are published at their SYN as far as this budget goes, and when they are established in any case. Beyond
 * it a flood of forged segments costs the peers nothing.
 */
export const synPublicationsPerMs = 4;
export const synPublicationsBurst = 1_000;
