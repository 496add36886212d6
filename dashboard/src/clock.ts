/** The market's clock, known only by what the server says now and then. Pure. */

export interface Clock {
  /** The market's time at a moment of ours. */
  at(now: number): number;
  readonly told: number;
  readonly toldAt: number;
  /** Market seconds in a second of ours: 1, but for a replay; null until two answers told. */
  readonly rate: number | null;
}

/** Shorter between two answers, and the network's delay would look like a rate. */
const SHORTEST_MS = 4_000;
/** A live clock that seems to run a little off is only a slow answer. */
const NEARLY_ONE = 0.1;

/** The clock after the server told its time; the rate comes from two answers in a row. */
export function clockOf(before: Clock | null, told: number, toldAt: number): Clock {
  const rate = before && rateOf(before, told, toldAt);
  return { told, toldAt, rate, at: (now) => told + Math.max(0, now - toldAt) * (rate ?? 1) };
}

function rateOf(before: Clock, told: number, toldAt: number): number | null {
  const ours = toldAt - before.toldAt;
  if (ours < SHORTEST_MS || told < before.told) return before.rate; // a replay may begin again
  const rate = (told - before.told) / ours;
  return Math.abs(rate - 1) < NEARLY_ONE ? 1 : rate;
}
