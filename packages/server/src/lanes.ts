/** Works on items side by side, at most so many at once; the first failure is thrown, and what is under way goes on unseen. */
export async function inLanes<T>(items: readonly T[], lanes: number, work: (item: T, at: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const at = next++;
      await work(items[at] as T, at);
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, items.length) }, lane));
}
