// SPDX-License-Identifier: Apache-2.0

/** Upper bounds of a configuration: far above any real one, and low enough that the worst one is read quickly. */
export const limits = {
  fileBytesMax: 4 * 1024 * 1024,
  totalBytesMax: 8 * 1024 * 1024,
  /** Characters of all lines together after substitution. */
  charactersMax: 8 * 1024 * 1024,
  filesMax: 512,
  includeDepthMax: 16,
  lineLengthMax: 8192,
  linesMax: 200_000,
  /** Substitutions one after another in the same line: the value of a parameter may name another parameter. */
  substitutionsMax: 64,
  parametersMax: 4096,
  blockDepthMax: 32,
  wordsMax: 1_000_000,
  braceAlternativesMax: 256,
} as const;
