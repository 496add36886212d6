/** The market's clock, estimated from the times that the server sends. Pure. */

export interface Clock {
  /** The market's time at a moment of ours. It stops while its rate is unknown. */
  at(now: number): number;
  readonly time: number;
  readonly readAt: number;
  /** Market seconds in a second of ours: 1, except in a replay; null: unknown until the second answer. */
  readonly rate: number | null;
}

/** With less time between two answers, the network's delay would look like a rate. */
const SHORTEST_MS = 4_000;
/** A rate this near to 1 is 1, measured with a slow answer. */
const NEARLY_ONE = 0.1;
/** A market whose clock is this near to ours is live, not a replay. */
const NEAR_MS = 120_000;
/** How long the clock runs on without an answer: a little longer than the interval of the requests. */
const RUNS_ON_MS = 20_000;
const REPLAY_RUNS_ON_MS = 8_000;

/**
 * The clock after an answer of the server: its time, and when we read it. A replay's rate is measured from two answers.
 * `unbroken` is false if the connection was lost between them: the server may have stopped.
 */
export function clockOf(before: Clock | null, time: number, readAt: number, unbroken = true): Clock {
  const rate = isNear(time, readAt) ? 1 : before && rateOf(before, time, readAt, unbroken);
  const longest = rate === 1 ? RUNS_ON_MS : REPLAY_RUNS_ON_MS;
  const at = (now: number): number => time + Math.min(longest, Math.max(0, now - readAt)) * (rate ?? 0);
  return { time, readAt, rate, at };
}

function rateOf(before: Clock, time: number, readAt: number, unbroken: boolean): number | null {
  if (isNear(before.time, before.readAt)) return null; // a replay that had not begun
  const ours = readAt - before.readAt;
  if (!unbroken || ours < SHORTEST_MS || time < before.time) return before.rate; // a replay may begin again
  const rate = (time - before.time) / ours;
  return Math.abs(rate - 1) < NEARLY_ONE ? 1 : rate;
}

const isNear = (time: number, readAt: number): boolean => Math.abs(time - readAt) < NEAR_MS;
