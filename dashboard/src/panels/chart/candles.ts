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
}

export interface Bar extends Told {
  /** The start as Unix seconds. */
  time: number;
}

/** A bucket of trading hours without a trade. */
export interface Hole {
  time: number;
}

/** The widest gap: what is longer is drawn so wide, or a quiet share's chart would be nothing but gaps. */
const WIDEST = 120;

export class Candles {
  readonly interval: Interval;
  private preferred: string | null;
  private bars = new Map<number, Bar>();
  private live = new Set<number>();
  private newest = -Infinity;

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

  /** Live candles. True when any but the newest bucket changed: all is to be drawn again. */
  take(told: readonly Told[]): boolean {
    let earlier = false;
    for (const one of told) {
      const time = Date.parse(one.start) / 1000;
      if (!this.stands(one, time)) continue;
      earlier ||= time !== this.newest;
      this.live.add(time);
      this.put(one, time);
    }
    return earlier;
  }

  /** Stored candles, which lag a little behind: what was told live stands. */
  fill(stored: readonly Told[]): void {
    for (const one of stored) {
      const time = Date.parse(one.start) / 1000;
      if (!this.live.has(time) && this.stands(one, time)) this.put(one, time);
    }
  }

  /** The line was lost: from now on the stored candles know better, until they are told live again. */
  interrupted(): void {
    this.live.clear();
  }

  private stands(one: Told, time: number): boolean {
    const known = this.bars.get(time);
    return !known || known.data_source === one.data_source || one.data_source === this.preferred;
  }

  private put(one: Told, time: number): void {
    this.bars.set(time, { ...one, time });
    this.newest = Math.max(this.newest, time);
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
}
