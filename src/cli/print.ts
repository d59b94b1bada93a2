// SPDX-License-Identifier: Apache-2.0

/**
 * Writes to stdout at its reader's pace. A reader that has seen enough, as `head` has, ends the process quietly: that is
 * no failure, and there is nobody left to tell.
 */
export async function print(text: string): Promise<void> {
  const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => {
    // The stream reports the failure to the callback and as an event; unheard, the event would be an exception.
    if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => undefined);
    process.stdout.write(text, resolve);
  });
  if (error?.code === 'EPIPE') process.exit(0);
  if (error) throw error;
}
