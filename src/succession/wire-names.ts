// SPDX-License-Identifier: Apache-2.0

/**
 * Names in handover records and messages that differ from those in the code. A predecessor may run an older version and a
 * successor a newer one, and each reads what the other writes, so these stay as the first version had them.
 */
export const wireNames = {
  /** The request that makes a predecessor end in favour of its successor. */
  replace: 'yield',
  successorNumber: 'ticket',
  logLines: 'story',
  assignment: 'configured',
  record: 'bequest',
} as const;
