/**
 * The messages of the wire protocol, version 1. Times are ISO 8601 text in UTC, prices PLN, an unknown number is null.
 * A server may send fields and types that are not here: newer ones.
 */

/** A place in the journal. Offsets grow by 1; the epoch changes only if the journal's history was lost. */
export interface Position {
  epoch: string;
  offset: number;
}

export type RequestId = string | number;
export type ConnectionStatus = "disconnected" | "connecting" | "connected" | "reconnecting" | "error" | "failed";
export type MarketStatus = "pre_market" | "open" | "after_hours" | "closed" | "weekend" | "holiday";
/** What a quote may be called. */
export type Origin = "live" | "delayed" | "end_of_day" | "replayed" | "simulated";
/** How a quote that looked doubtful came to be accepted. */
export type Review = "confirmed" | "corrected";
/** Why there is no newer quote of a stock. */
export type StaleReason = "not_traded" | "unreadable" | "rejected" | "renamed" | "missing" | "unchanged" | "silent";
export type Interval = "1m" | "5m" | "1h" | "1d";
export type Channel = "quotes" | "market" | "connections" | "providers" | "alerts" | `candles:${Interval}`;

/** What is known of one stock at a moment. Where the subscription names `fields`, only those and `symbol` are there. */
export interface Quote {
  /** The exchange's time of the last trade when the provider tells it, else the time of observation. */
  timestamp: string;
  symbol: string;
  price: number;
  /** Against `previous_close`. */
  change: number | null;
  change_percent: number | null;
  /** Shares since the session began. */
  volume: number | null;
  high: number | null;
  low: number | null;
  open: number | null;
  /** At the time of the quote; the message has the present one. */
  market_status: MarketStatus;
  data_source: string;
  previous_close: number | null;
  exchange_time: string | null;
  received_at: string | null;
  /** How far the source runs behind the exchange, by its own word. */
  delay_seconds: number | null;
  origin: Origin | null;
  /** Null: nothing about it was doubtful. */
  review: Review | null;
  stale: boolean;
  /** `not_traded` comes without `stale`, too: the last price is still the right one. */
  stale_reason: StaleReason | null;
}

/** The first message. */
export interface Connection {
  type: "connection";
  status: "connected";
  timestamp: string;
  message: string;
  server: { name: string; version: string };
  session: string;
  protocol: number;
  questdb_status: ConnectionStatus;
  pocketbase_status: ConnectionStatus;
  data_providers: string[];
  market_status: MarketStatus;
  session_phase: string;
  /** Seconds. */
  update_interval: number;
  /** Null as long as no provider has given a good answer. */
  delay_seconds: number | null;
  position: Position | null;
  auth: "none" | "required";
  simulated: boolean;
  origin: Origin;
  /** Whether alert rules are evaluated there. */
  alerts: boolean;
}

export interface StockUpdates {
  type: "stock_updates";
  timestamp: string;
  count: number;
  data: Quote[];
  position: Position | null;
  snapshot: boolean;
  market_status: MarketStatus;
}

/** From here on everything is live. */
export interface SnapshotEnd {
  type: "snapshot_end";
  timestamp: string;
  position: Position | null;
}

/** What was missed cannot be replayed; a snapshot follows. */
export interface Gap {
  type: "gap";
  timestamp: string;
  from: Position;
  to: Position | null;
  reason: "retention" | "epoch_changed" | "damaged";
}

/** So many messages were conflated away for this slow client since then. */
export interface Lost {
  type: "lost";
  count: number;
  since: string;
}

export interface ProviderRow {
  name: string;
  status: ConnectionStatus;
  kind: Origin;
  delay_seconds: number | null;
  interval_seconds: number;
  symbols: number;
  since: string | null;
  last_success: string | null;
  last_refusal: string | null;
  refusal_reason: string | null;
  refusal_detail: string | null;
  next_attempt: string | null;
  budget_left: number | null;
  refusals: Record<string, number>;
  /** Our clock minus the provider's. */
  clock_skew_seconds: number | null;
  newest_trade: string | null;
}

export interface StatusReport {
  type: "status";
  questdb_status: ConnectionStatus;
  pocketbase_status: ConnectionStatus;
  data_providers: string[];
  subscribers: number;
  timestamp: string;
  market_status: MarketStatus;
  session_phase: string;
  last_cycle: {
    time: string;
    /** Seconds. */
    duration: number;
    fetched: number;
    rejected: number;
    changed: number;
    error: string | null;
  } | null;
  providers: ProviderRow[];
  journal: { position: Position; entries: number; lag: Record<string, number> } | null;
  uptime_seconds: number;
  version: string;
  next_cycle: string | null;
  id?: RequestId;
}

export interface Candle {
  type: "candle";
  symbol: string;
  interval: Interval;
  start: string;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number | null;
  ticks: number;
  /** False while its time runs. */
  closed: boolean;
  /** A late trade changed a candle that was closed. */
  correction: boolean;
  data_source: string;
}

export interface Alert {
  type: "alert";
  rule: string;
  symbol: string | null;
  condition: string;
  threshold: number | null;
  observed: number | string | null;
  severity: "info" | "warning" | "critical";
  message: string;
  triggered_at: string;
  id: string;
  name: string;
  origin: Origin;
}

export interface MarketStatusChanged {
  type: "market_status";
  status: MarketStatus;
  timestamp: string;
}

export interface ConnectionStatusChanged {
  type: "connection_status";
  service: "QuestDB" | "Pocketbase";
  status: ConnectionStatus;
  timestamp: string;
  reason: string | null;
}

export interface ProviderStatusChanged {
  type: "data_provider_status";
  provider: string;
  status: ConnectionStatus;
  timestamp: string | null;
  reason: string | null;
}

/** What `subscribe` asks for; every field may be left out. */
export interface Subscription {
  channels?: readonly Channel[];
  symbols?: readonly string[];
  mode?: "full" | "changes";
  fields?: readonly (keyof Quote)[];
  filter?: string;
  /** Messages with quotes in a second, at most. */
  max_rate?: number;
  /** Resume after it. After a break of the connection the client fills it in by itself. */
  since?: Position;
  on_slow?: "conflate" | "disconnect";
  /** Seconds of silence before a heartbeat, 1-60. */
  heartbeat?: number;
}

export interface SubscriptionConfirmed {
  type: "subscription_confirmed";
  timestamp: string;
  /** The whole subscription in force, defaults filled in. */
  subscription: {
    channels: Channel[];
    symbols: string[] | null;
    mode: "full" | "changes";
    fields: (keyof Quote)[] | null;
    filter: string | null;
    max_rate: number | null;
    on_slow: "conflate" | "disconnect";
    heartbeat: number | null;
  };
  id?: RequestId;
}

export interface Authenticated {
  type: "authenticated";
  timestamp: string;
  user: string;
  scopes: string[];
  /** Null: never. */
  expires: string | null;
  id?: RequestId;
}

export interface Pong {
  type: "pong";
  timestamp: string;
  id?: RequestId;
}

export interface Heartbeat {
  type: "heartbeat";
  timestamp: string;
  position: Position | null;
}

export interface Shutdown {
  type: "shutdown";
  timestamp: string;
  reconnect_after_ms: number;
}

export interface ErrorMessage {
  type: "error";
  message: string;
  /** As in HTTP; 0 is the client's own: what came was no message. */
  code: number;
  retryable: boolean;
  id?: RequestId;
}

/** The client's own event: how the connection is. */
export interface StateChanged {
  type: "state";
  state: "idle" | "connecting" | "connected" | "waiting" | "closed";
  /** Failed attempts in a row. */
  attempt: number;
  /** Until the next attempt, while waiting. */
  retryInMs: number | null;
  /** The close code of the last connection; 1006 when it broke or could not be made. */
  code: number | null;
  reason: string;
  willReconnect: boolean;
}

/** Every message of the server, by its type. */
export type Message =
  | Connection
  | StockUpdates
  | SnapshotEnd
  | Gap
  | Lost
  | StatusReport
  | Candle
  | Alert
  | MarketStatusChanged
  | ConnectionStatusChanged
  | ProviderStatusChanged
  | SubscriptionConfirmed
  | Authenticated
  | Pong
  | Heartbeat
  | Shutdown
  | ErrorMessage;

/** What can be listened to, and what the listener is given. */
export type Events = { [M in Message | StateChanged as M["type"]]: M };
