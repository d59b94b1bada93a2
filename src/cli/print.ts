// SPDX-License-Identifier: Apache-2.0

/**
 * Writes to stdout at its reader's pace. A reader that closes the pipe early, as `head` does, ends the process without
 * an error.
 */
export async function print(text: string): Promise<void> {
  const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => {
    // The stream reports a failure to the callback and as an event; without a listener the event would be an exception.
    if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => undefined);
    process.stdout.write(text, resolve);
  });
  if (error?.code === 'EPIPE') process.exit(0);
  if (error) throw error;
}
