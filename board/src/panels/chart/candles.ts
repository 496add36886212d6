/** The candles of one chart: stored ones and live ones put together. Pure. */
import { bucketsBetween, DAY } from "./sessions.ts";

export const WIDTHS = { "1m": 60, "5m": 300, "1h": 3600, "1d": DAY } as const;
export type Interval = keyof typeof WIDTHS;

/** What the history and the channel `candles:<interval>` have in common. */
export interface Told {
  data_source: string;
  start: string;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number | null;
  /** Quotes in the bucket. */
  ticks: number;
}

export interface Bar extends Told {
  /** The start as Unix seconds. */
  time: number;
}

/** As the channel tells it: a late trade changed a candle that was closed, or not. */
export interface LiveTold extends Told {
  correction: boolean;
}

/** A bucket of trading hours without a trade. */
export interface Hole {
  time: number;
}

/** The widest gap: what is longer is drawn so wide, or a quiet share's chart would be nothing but gaps. */
const WIDEST = 120;

/** How far the page's idea of the market's time may be behind, in ms: a replay's runs sixty times as fast as ours. */
const BEHIND_MS = 600_000;

/** A replay that begins again finds candles of its earlier round, of times that are still to come. */
export function isToCome({ start }: Told, marketTime: number | null): boolean {
  return marketTime !== null && Date.parse(start) > marketTime + BEHIND_MS;
}

export class Candles {
  readonly interval: Interval;
  private preferred: string | null;
  private stored = new Map<number, Told>();
  private live = new Map<number, Told>();
  /** Of both. */
  private bars = new Map<number, Bar>();
  private newest = -Infinity;
  /** The running candle: what is stored of later ones is of a replay's earlier round. */
  private front = Infinity;

  /** Of two sources' candles of one bucket the `preferred` one's stands: sources never mix in a candle. */
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

  /** The candle so many steps from the one at that time; there are none beyond the ends. */
  beside(time: number, steps: number): Bar | undefined {
    const times = [...this.bars.keys()].sort((a, b) => a - b);
    const place = Math.min(Math.max(times.indexOf(time) + steps, 0), times.length - 1);
    return this.bars.get(times[place] ?? NaN);
  }

  /** A live candle. True when another than the newest changed: all is to be drawn again. */
  take(told: LiveTold): boolean {
    const time = this.put(this.live, told);
    const wholly = time !== this.newest;
    if (told.correction) return wholly;
    this.front = this.newest = time;
    for (const later of [...this.bars.keys()].filter((other) => other > time)) this.drop(later);
    return wholly;
  }

  /** Stored candles, which lag a little behind the live ones. */
  fill(stored: readonly Told[]): void {
    for (const told of stored) {
      if (Date.parse(told.start) / 1000 > this.front) continue;
      this.newest = Math.max(this.newest, this.put(this.stored, told));
    }
  }

  /** The line was lost: from now on the stored candles know better, until they are told live again. */
  interrupted(): void {
    this.live.clear();
    this.front = Infinity;
  }

  /** All, oldest first, with the holes between them. */
  drawn(): (Bar | Hole)[] {
    const points: (Bar | Hole)[] = [];
    let before: number | undefined;
    for (const bar of [...this.bars.values()].sort((a, b) => a.time - b.time)) {
      for (const time of bucketsBetween(before ?? bar.time, bar.time, WIDTHS[this.interval], WIDEST)) points.push({ time });
      points.push(bar);
      before = bar.time;
    }
    return points;
  }

  private put(where: Map<number, Told>, told: Told): number {
    const time = Date.parse(told.start) / 1000;
    where.set(time, this.better(where.get(time), told));
    this.bars.set(time, { ...this.both(this.stored.get(time), this.live.get(time)), time });
    return time;
  }

  private drop(time: number): void {
    for (const where of [this.stored, this.live, this.bars]) where.delete(time);
  }

  private better(known: Told | undefined, told: Told): Told {
    const stands = known && known.data_source !== told.data_source && told.data_source !== this.preferred;
    return stands ? known : told;
  }

  /**
   * What was told live stands, as the store lags. But a service that began in the middle of a bucket does not know
   * the bucket's beginning, and the store does: it has more ticks.
   */
  private both(stored: Told | undefined, live: Told | undefined): Told {
    if (!stored || !live) return (live ?? stored) as Told;
    if (stored.data_source !== live.data_source) return this.better(stored, live);
    if (stored.ticks <= live.ticks) return live;
    const [high, low] = [Math.max(stored.high, live.high), Math.min(stored.low, live.low)];
    return { ...live, open: stored.open, high, low };
  }
}
