/** The candles of one chart: stored and live ones merged. Pure. */
import type { Candle, Interval, StoredCandle } from "@zlotick/client";
import { bucketsBetween, DAY } from "./buckets.ts";

export const WIDTHS: Readonly<Record<Interval, number>> = { "1m": 60, "5m": 300, "1h": 3600, "1d": DAY };

/** What a stored candle and a message of `candles:<interval>` have in common. */
export type CandleValues = Omit<StoredCandle, "symbol" | "interval">;
export type LiveCandle = Pick<Candle, keyof CandleValues | "correction">;

export interface Bar extends CandleValues {
  /** The start as Unix seconds. */
  time: number;
}

/** A bucket of trading hours without a trade. */
export interface Hole {
  time: number;
}

/** The widest gap: without a limit, the chart of an illiquid share would consist of gaps. */
const WIDEST = 120;

/** How far our estimate of the market's time may be behind, in ms: a replay may run sixty times as fast. */
const BEHIND_MS = 600_000;

/** Whether a candle lies in the future: a replay that starts again finds candles of its earlier round. */
export function isInFuture({ start }: CandleValues, marketTime: number | null): boolean {
  return marketTime !== null && Date.parse(start) > marketTime + BEHIND_MS;
}

export class Candles {
  readonly interval: Interval;
  private preferred: string | null;
  private stored = new Map<number, CandleValues>();
  private live = new Map<number, CandleValues>();
  /** Both, merged. */
  private bars = new Map<number, Bar>();
  private newest = -Infinity;
  /** The running candle: later stored ones are of a replay's earlier round. */
  private front = Infinity;

  /** Of two candles of one bucket, that of the `preferred` provider stays: a candle never mixes providers. */
  constructor(interval: Interval, preferred: string | null) {
    this.interval = interval;
    this.preferred = preferred;
  }

  get size(): number {
    return this.bars.size;
  }

  /** The beginning of the earliest candle, as the server wrote it. */
  get earliest(): string | null {
    return this.bars.size ? this.bars.get(Math.min(...this.bars.keys()))!.start : null;
  }

  get last(): Bar | undefined {
    return this.bars.get(this.newest);
  }

  at(time: number): Bar | undefined {
    return this.bars.get(time);
  }

  /** The candle this many steps from the one at that time, or the first or last one. */
  beside(time: number, steps: number): Bar | undefined {
    const times = [...this.bars.keys()].sort((a, b) => a - b);
    const place = Math.min(Math.max(times.indexOf(time) + steps, 0), times.length - 1);
    return this.bars.get(times[place] ?? NaN);
  }

  /** Take a live candle. True if another than the newest changed: all must be drawn again. */
  take(candle: LiveCandle): boolean {
    const time = this.put(this.live, candle);
    const changedAll = time !== this.newest;
    if (candle.correction) return changedAll;
    this.front = this.newest = time;
    for (const later of [...this.bars.keys()].filter((other) => other > time)) this.drop(later);
    return changedAll;
  }

  /** Take stored candles, which lag a little behind the live ones. */
  fill(stored: readonly CandleValues[]): void {
    for (const candle of stored) {
      if (Date.parse(candle.start) / 1000 > this.front) continue;
      this.newest = Math.max(this.newest, this.put(this.stored, candle));
    }
  }

  /** The connection was lost: stored candles have precedence until live ones arrive again. */
  interrupted(): void {
    this.live.clear();
    this.front = Infinity;
  }

  /** All candles, oldest first, with the holes between them. `closed`: the market's closed days. */
  withHoles(closed: ReadonlySet<string>): (Bar | Hole)[] {
    const points: (Bar | Hole)[] = [];
    let before: number | undefined;
    for (const bar of [...this.bars.values()].sort((a, b) => a.time - b.time)) {
      const width = WIDTHS[this.interval];
      for (const time of bucketsBetween(before ?? bar.time, bar.time, width, WIDEST, closed)) points.push({ time });
      points.push(bar);
      before = bar.time;
    }
    return points;
  }

  private put(where: Map<number, CandleValues>, candle: CandleValues): number {
    const time = Date.parse(candle.start) / 1000;
    where.set(time, this.better(where.get(time), candle));
    this.bars.set(time, { ...this.both(this.stored.get(time), this.live.get(time)), time });
    return time;
  }

  private drop(time: number): void {
    for (const where of [this.stored, this.live, this.bars]) where.delete(time);
  }

  private better(known: CandleValues | undefined, candle: CandleValues): CandleValues {
    const stays = known && known.data_source !== candle.data_source && candle.data_source !== this.preferred;
    return stays ? known : candle;
  }

  /**
   * Live values have precedence, since the store lags. But a service that started in the middle of a bucket misses the
   * beginning of the bucket; the store has it if it has more ticks.
   */
  private both(stored: CandleValues | undefined, live: CandleValues | undefined): CandleValues {
    if (!stored || !live) return (live ?? stored) as CandleValues;
    if (stored.data_source !== live.data_source) return this.better(stored, live);
    if (stored.ticks <= live.ticks) return live;
    const [high, low] = [Math.max(stored.high, live.high), Math.min(stored.low, live.low)];
    return { ...live, open: stored.open, high, low };
  }
}
