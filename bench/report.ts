// SPDX-License-Identifier: Apache-2.0
import type { HttpFigures } from './http.ts';
import type { PacketFigures } from './lossless.ts';

const reference = 'nftables';

/** Medians of all rounds; ratios are medians of the ratios within each round. */
export function packetTable(flows: number, results: ReadonlyMap<string, readonly PacketFigures[]>): string {
  const rows = [...results].map(([name, rounds]) => [
    name,
    thousands(median(rounds.map((figures) => figures.losslessPerSecond))),
    ratio(results, name, reference, (figures) => figures.losslessPerSecond),
    median(rounds.map((figures) => figures.processNs)).toFixed(0),
    median(rounds.map((figures) => figures.interruptNs)).toFixed(0),
  ]);
  const head = ['', 'k packets/s', '× nftables', 'process ns/packet', 'interrupt ns/packet'];
  return render(`64-byte UDP, ${flows} flows, lossless`, head, rows);
}

export function httpTable(results: ReadonlyMap<string, readonly HttpFigures[]>): string {
  const rows = [...results].map(([name, rounds]) => [
    name,
    thousands(median(rounds.map((figures) => figures.connectionsPerSecond))),
    ratio(results, name, reference, (figures) => figures.connectionsPerSecond),
    ratio(results, name, 'haproxy', (figures) => figures.connectionsPerSecond),
    thousands(median(rounds.map((figures) => figures.requestsPerSecond))),
    ratio(results, name, reference, (figures) => figures.requestsPerSecond),
    ratio(results, name, 'haproxy', (figures) => figures.requestsPerSecond),
    String(rounds.reduce((sum, { failures }) => sum + failures, 0)),
  ]);
  const both = ['× nftables', '× haproxy'];
  const head = ['', 'k connections/s', ...both, 'k requests/s', ...both, 'failures'];
  return render('HTTP: a connection for each request, and connections that stay', head, rows);
}

/** The median of the ratios within each round; nothing without the other one. */
export function ratio<Figures>(
  results: ReadonlyMap<string, readonly Figures[]>,
  name: string,
  other: string,
  figure: (figures: Figures) => number,
): string {
  const others = results.get(other);
  if (others === undefined || name === other) return '';
  return median(results.get(name)!.map((figures, i) => figure(figures) / figure(others[i]!))).toFixed(2);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function thousands(value: number): string {
  return (value / 1000).toFixed(1);
}

/** A table of text, columns aligned. */
export function render(title: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  return `${[title, line(head), ...rows.map(line)].join('\n')}\n`;
}
