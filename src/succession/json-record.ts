// SPDX-License-Identifier: Apache-2.0

/** The form of every message between a director, its vrrp process and their successors: one JSON object. */
export function emitRecord(record: Readonly<Record<string, unknown>>): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

/** Undefined for anything but JSON of an object. */
export function readRecord(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
