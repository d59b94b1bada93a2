// SPDX-License-Identifier: Apache-2.0

/** Why the verifier refused a program: its verdict, and how it came to it. */
export interface Refusal {
  /** Its last message, as in `R2 offset is outside of the packet`; empty when it said nothing. */
  readonly verdict: string;
  /** Source lines and instructions before it, register states left out; oldest first. */
  readonly path: readonly string[];
}

const linesMax = 20;
const instruction = /^\s*\d+: \([0-9a-f]{2}\) /;
/** Register states, precision tracking and statistics, which only help those who work on the verifier. */
const noise =
  /^\s*(\d+: (R\d+|frame\d+|safe)|R\d+(_\w+)?=|last_idx |first_idx |regs=|parent |mark_precise|processed \d+ insns|verification time |stack depth |func#\d+ @|-- |propagating |max_states_per_insn )/;

/** Reads a log of level 1 (kernel/bpf/verifier.c). */
export function readVerifierLog(log: string): Refusal {
  const lines = log
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '' && !noise.test(line))
    .map(withoutRegisters);
  // Several lines may give the reason: `invalid access to packet, ...`, then `R2 offset is outside of the packet`.
  const pathEnd = lines.findLastIndex(isPath) + 1;
  return { verdict: lines.slice(pathEnd).join('; '), path: lines.slice(0, pathEnd).filter(isPath).slice(-linesMax) };
}

/** An instruction without the state that follows it, as `; R1_w=...` or, before the next one, `8: frame1: R1=...`. */
function withoutRegisters(line: string): string {
  if (!instruction.test(line)) return line.replace(/^(from \d+ to \d+(?: \(speculative execution\))?:).*/, '$1');
  return line.replace(/\s+(; |\d+: )(frame\d+: ?)?(R\d+|refs=|fp-).*$|\s+;$/, '');
}

function isPath(line: string): boolean {
  return instruction.test(line) || /^\s*;/.test(line) || /^(from \d+ to \d+|caller:|callee:)/.test(line);
}
