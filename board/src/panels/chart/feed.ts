/** The candles of an open chart: stored ones over HTTP, the running one over a WebSocket of its own. */
import { signal } from "@preact/signals";
import type { Interval, Candles as StoredCandles } from "@zlotick/client";
import { api, closedDays, marketTime, newClient, questdb } from "../../store/index.ts";
import { Candles, isInFuture } from "./candles.ts";

/** Candles of one request. */
const PAGE = 500;
/** The running candle is drawn at most this often: it costs more than all rows of the table. */
const DRAWN_EVERY_MS = 500;
/** After a failed request: a store that has just started answers 503 for a moment. */
const RETRY_AFTER_MS = 3000;

/** `off`: nothing is stored, the chart begins now. `failed`: no answer, or a temporary error. */
export type History = "loading" | "ready" | "off" | "failed";

export class CandleFeed {
  readonly history = signal<History>("loading");
  /** Counts the changes of the candles. */
  readonly version = signal(0);
  readonly candles: Candles;
  /** Whether more than the newest candle changed since the last redraw(). */
  private changedAll = true;
  private complete = false;
  private asking = false;
  private readonly symbol: string;
  private readonly client = newClient();
  private readonly ended = new AbortController();
  private stops: (() => void)[] = [];
  private retry: ReturnType<typeof setTimeout> | undefined;
  private drawnAt = -Infinity;
  private waiting: ReturnType<typeof setTimeout> | undefined;

  /** Candles of the `preferred` provider have precedence. */
  constructor(symbol: string, interval: Interval, preferred: string | null) {
    this.symbol = symbol;
    this.candles = new Candles(interval, preferred);
  }

  start(): void {
    const { interval } = this.candles;
    this.client.subscribe("candle", (candle) => {
      if (isInFuture(candle, marketTime.peek())) return;
      if (this.candles.take(candle)) this.changedAll = true;
      this.waiting ??= setTimeout(() => this.changed(), this.drawnAt + DRAWN_EVERY_MS - performance.now());
    });
    this.client.subscribe("subscription_confirmed", () => {
      this.candles.interrupted();
      void this.load(); // again: trades during the break are missing
    });
    this.client.select({ channels: [`candles:${interval}`], symbols: [this.symbol] });
    this.client.connect();
    this.stops = [
      questdb.subscribe(() => void this.load()),
      closedDays.subscribe(() => this.redrawAll()), // they may arrive after the candles
    ];
  }

  stop(): void {
    for (const stop of this.stops) stop();
    clearTimeout(this.waiting);
    clearTimeout(this.retry);
    this.client.disconnect();
    this.ended.abort();
  }

  /** The newest stored candles, if the store is available. */
  async load(): Promise<void> {
    if (questdb.peek() !== "connected") this.history.value = "off";
    else {
      if (this.candles.size === 0) this.history.value = "loading";
      await this.ask("");
    }
  }

  /** A page of older candles, if there are any. */
  async earlier(): Promise<void> {
    const { earliest } = this.candles;
    if (earliest && !this.complete && this.history.value === "ready") await this.ask(`&to=${earliest}`);
  }

  /** Whether all candles must be drawn again, not only the newest. Resets itself. */
  redraw(): boolean {
    const changedAll = this.changedAll;
    this.changedAll = false;
    return changedAll;
  }

  private redrawAll(): void {
    this.changedAll = true;
    this.changed();
  }

  private changed(): void {
    clearTimeout(this.waiting);
    this.waiting = undefined;
    this.drawnAt = performance.now();
    this.version.value++;
  }

  private async ask(until: string): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    try {
      const path = `/candles/${encodeURIComponent(this.symbol)}?interval=${this.candles.interval}&limit=${PAGE}${until}`;
      const { data } = await api<StoredCandles>(path, this.ended.signal);
      this.complete = data.length < PAGE;
      this.candles.fill(data.filter((candle) => !isInFuture(candle, marketTime.peek())));
      this.redrawAll();
      this.history.value = "ready";
    } catch {
      if (this.ended.signal.aborted) return;
      this.history.value = "failed";
      clearTimeout(this.retry);
      this.retry = setTimeout(() => void this.load(), RETRY_AFTER_MS);
    } finally {
      this.asking = false;
    }
  }
}
