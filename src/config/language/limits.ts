// SPDX-License-Identifier: Apache-2.0

/** What a configuration may be at most: far above any real one, far below what would hurt. */
export const limits = {
  fileBytesMax: 4 * 1024 * 1024,
  totalBytesMax: 8 * 1024 * 1024,
  /** Of all lines together after substitution. */
  charactersMax: 8 * 1024 * 1024,
  filesMax: 512,
  includeDepthMax: 16,
  lineLengthMax: 8192,
  linesMax: 200_000,
  /** Parameters that stand for parameters that stand for parameters … */
  substitutionsMax: 64,
  parametersMax: 4096,
  blockDepthMax: 32,
  wordsMax: 1_000_000,
  braceAlternativesMax: 256,
} as const;
