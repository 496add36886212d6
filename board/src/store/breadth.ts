/** How many stocks rise and fall, and which move most. */
import { computed } from "@preact/signals";
import { newest } from "./quotes.ts";

const MOVERS = 5;

export const breadth = computed(() => {
  const count = { up: 0, unchanged: 0, down: 0, unknown: 0 };
  for (const { change } of newest.value) {
    if (change === null) count.unknown++;
    else if (change > 0) count.up++;
    else if (change < 0) count.down++;
    else count.unchanged++;
  }
  return count;
});

const moves = computed(() =>
  newest.value
    .flatMap(({ symbol, change_percent }) => (change_percent ? [{ symbol, percent: change_percent }] : []))
    .sort((a, b) => b.percent - a.percent),
);

export type Move = { symbol: string; percent: number };

/** The greatest first. */
export const topUp = computed<Move[]>(() => moves.value.filter(({ percent }) => percent > 0).slice(0, MOVERS));
export const topDown = computed<Move[]>(() =>
  moves.value
    .filter(({ percent }) => percent < 0)
    .slice(-MOVERS)
    .reverse(),
);
