/** The candles of an open chart: the stored ones by HTTP, the running one on a line of its own. */
import { signal } from "@preact/signals";
import { api, marketTime, newClient, questdb } from "../../store/index.ts";
import { Candles, isToCome, type Interval, type Told } from "./candles.ts";

/** Candles asked for at a time. */
const PAGE = 500;
/** A running candle is redrawn at most so often: a drawing costs more than all rows of the table. */
const DRAWN_EVERY_MS = 500;

/** `off`: nothing is stored, the chart begins now. `failed`: no answer, or a refusal that may pass. */
export type History = "loading" | "ready" | "off" | "failed";

export class CandleFeed {
  readonly history = signal<History>("loading");
  /** Counts the changes of the candles. */
  readonly version = signal(0);
  readonly candles: Candles;
  /** Whether more than the newest candle changed since it was last asked. */
  private wholly = true;
  private complete = false;
  private asking = false;
  private readonly symbol: string;
  private readonly client = newClient();
  private readonly ended = new AbortController();
  private stopLooking = (): void => {};
  private drawnAt = -Infinity;
  private waiting: ReturnType<typeof setTimeout> | undefined;

  /** Of several sources' candles the `preferred` one's are shown. */
  constructor(symbol: string, interval: Interval, preferred: string | null) {
    this.symbol = symbol;
    this.candles = new Candles(interval, preferred);
  }

  start(): void {
    const { interval } = this.candles;
    this.client.subscribe("candle", (told) => {
      if (isToCome(told, marketTime.peek())) return;
      if (this.candles.take(told)) this.wholly = true;
      this.waiting ??= setTimeout(() => this.changed(), this.drawnAt + DRAWN_EVERY_MS - performance.now());
    });
    this.client.subscribe("subscription_confirmed", () => {
      this.candles.interrupted();
      void this.load(); // again: trades since then
    });
    this.client.select({ channels: [`candles:${interval}`], symbols: [this.symbol] });
    this.client.connect();
    this.stopLooking = questdb.subscribe(() => void this.load());
  }

  stop(): void {
    this.stopLooking();
    clearTimeout(this.waiting);
    this.client.disconnect();
    this.ended.abort();
  }

  /** The newest stored candles, where the store is there. */
  async load(): Promise<void> {
    if (questdb.peek() !== "connected") this.history.value = "off";
    else {
      if (this.candles.size === 0) this.history.value = "loading";
      await this.ask("");
    }
  }

  /** A page of older candles, unless there are none. */
  async earlier(): Promise<void> {
    const { earliest } = this.candles;
    if (earliest && !this.complete && this.history.value === "ready") await this.ask(`&to=${earliest}`);
  }

  /** True once when all is to be drawn again, and not only the newest candle. */
  redraw(): boolean {
    const wholly = this.wholly;
    this.wholly = false;
    return wholly;
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
      const { data } = await api<{ data: Told[] }>(path, this.ended.signal);
      this.complete = data.length < PAGE;
      this.candles.fill(data.filter((told) => !isToCome(told, marketTime.peek())));
      this.wholly = true;
      this.changed();
      this.history.value = "ready";
    } catch {
      if (this.ended.signal.aborted) return;
      this.history.value = "failed";
    } finally {
      this.asking = false;
    }
  }
}
