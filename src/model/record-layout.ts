// SPDX-License-Identifier: Apache-2.0

// The numbers of a packed connection record. What they mean and how they are read is in connection-batch.ts; the C has
// them from here (`npm run generate` writes src/engine/xdp/bpf/record.h), so this file imports nothing.

/** 32-bit words of one record. */
export const recordWords = 17;

/** Words of a record, each the first one of its field. */
export const RecordOffset = {
  head: 0,
  ports: 1,
  realPort: 2,
  idleMs: 3,
  timeoutMs: 4,
  clientAddress: 5,
  virtualAddress: 9,
  realAddress: 13,
} as const;

/** The fields of the head word, from the lowest bit on. The bits above them are zero. */
export const recordHeadFields = {
  event: { shift: 0, bits: 7 },
  secondClass: { shift: 7, bits: 1 },
  protocol: { shift: 8, bits: 8 },
  state: { shift: 16, bits: 8 },
  ipv6: { shift: 24, bits: 1 },
  local: { shift: 25, bits: 1 },
  forwardingMethod: { shift: 26, bits: 2 },
  template: { shift: 28, bits: 1 },
} as const;

/** The kinds of connection event. `refresh` is an upsert that only reports that the connection is still alive. */
export const ConnectionEvent = { upsert: 1, refresh: 2, remove: 3 } as const;
export type ConnectionEvent = (typeof ConnectionEvent)[keyof typeof ConnectionEvent];
