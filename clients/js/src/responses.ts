/** The answers of the HTTP API. Made by `make docs` from the server's types: do not edit. */
import type { Alert, Interval, MarketStatus, Phase, ProviderRow } from "./messages.ts";

/** The state of the market; in a replay or a simulation at its moment. */
export interface Market {
  status: MarketStatus;
  phase: Phase;
  time: string;
  /** When the status or the phase differs. */
  next_change: string;
  next_phase: Phase;
  /** Over a weekend the status changes, the phase does not. */
  next_phase_at: string;
  /** The Warsaw date. */
  session_day: string;
  /** Whether the exchange trades on that day. */
  is_session: boolean;
  /** Weekdays without a session, from five years ago to the end of next year. */
  closed_days: string[];
}

/** A ticker that can be subscribed to. Unknown fields are null. */
export interface Ticker {
  symbol: string;
  name: string | null;
  isin: string | null;
  /** The day of the list it is from. */
  as_of: string | null;
}

/** All tickers, in their order. */
export interface Symbols {
  count: number;
  symbols: Ticker[];
}

/** One provider's candle of one bucket of time (UTC). No trade, no candle. */
export interface StoredCandle {
  symbol: string;
  data_source: string;
  interval: Interval;
  start: string;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number | null;
  /** Quotes recorded in the bucket. */
  ticks: number;
}

/** Candles, oldest first. `count` equal to the limit means that there may be more. */
export interface Candles {
  symbol: string;
  interval: Interval;
  data: StoredCandle[];
  count: number;
}

/** An alert rule of the caller that is not evaluated, and why. */
export interface UnusableRule {
  id: string;
  name: string;
  reason: string;
}

/** Recent alerts, newest first, each as in the channel `alerts`; and the caller's rules that are not evaluated. */
export interface Alerts {
  count: number;
  data: Alert[];
  unusable_rules: UnusableRule[];
}

/** The state of each provider, in the order in which they are asked. */
export interface Providers {
  next_cycle: string | null;
  providers: ProviderRow[];
}
