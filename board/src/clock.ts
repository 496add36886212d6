/** The market's clock, known only by what the server says now and then. Pure. */

export interface Clock {
  /** The market's time at a moment of ours. It stands still where nothing tells how it goes on. */
  at(now: number): number;
  readonly told: number;
  readonly toldAt: number;
  /** Market seconds in a second of ours: 1, but for a replay; null: not known, it takes two answers. */
  readonly rate: number | null;
}

/** Shorter between two answers, and the network's delay would look like a rate. */
const SHORTEST_MS = 4_000;
/** A live clock that seems to run a little off is only a slow answer. */
const NEARLY_ONE = 0.1;
/** A market whose clock is this near to ours is live: no replay is. */
const NEAR_MS = 120_000;
/** A clock that was told no more runs on for so long: a little longer than from one answer to the next. */
const RUNS_ON_MS = 20_000;
const REPLAY_RUNS_ON_MS = 8_000;

/**
 * The clock after the server told its time; a replay's rate comes from two answers in a row. `unbroken` is false
 * where the line broke between them: a server that was away may have stood still.
 */
export function clockOf(before: Clock | null, told: number, toldAt: number, unbroken = true): Clock {
  const rate = isNear(told, toldAt) ? 1 : before && rateOf(before, told, toldAt, unbroken);
  const longest = rate === 1 ? RUNS_ON_MS : REPLAY_RUNS_ON_MS;
  const at = (now: number): number => told + Math.min(longest, Math.max(0, now - toldAt)) * (rate ?? 0);
  return { told, toldAt, rate, at };
}

function rateOf(before: Clock, told: number, toldAt: number, unbroken: boolean): number | null {
  if (isNear(before.told, before.toldAt)) return null; // a replay that had not begun
  const ours = toldAt - before.toldAt;
  if (!unbroken || ours < SHORTEST_MS || told < before.told) return before.rate; // a replay may begin again
  const rate = (told - before.told) / ours;
  return Math.abs(rate - 1) < NEARLY_ONE ? 1 : rate;
}

const isNear = (told: number, toldAt: number): boolean => Math.abs(told - toldAt) < NEAR_MS;
