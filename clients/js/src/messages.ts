/**
 * The messages of the wire protocol, version 1. Made by `make docs` from the server's types: do not edit.
 * Times are ISO 8601 text in UTC, prices PLN, an unknown number is null. A newer server may send more than this.
 */

/** The state of a connection, of a store or a provider. */
export type ConnectionStatus = "disconnected" | "connecting" | "connected" | "reconnecting" | "error" | "failed";

/** The state of the Warsaw market, in the guide's words (hours: Europe/Warsaw). */
export type MarketStatus = "pre_market" | "open" | "after_hours" | "closed" | "weekend" | "holiday";

/** The phase of a session. */
export type Phase =
  | "closed"
  | "pre_opening"
  | "opening_auction"
  | "continuous"
  | "closing_call"
  | "closing_auction"
  | "trade_at_last";

/** The label of a quote, by age and origin. It is stored and sent with the quote. */
export type Origin = "live" | "delayed" | "end_of_day" | "replayed" | "simulated";

export type RequestId = string | number;

export type Channel =
  | "alerts"
  | "candles:1d"
  | "candles:1h"
  | "candles:1m"
  | "candles:5m"
  | "connections"
  | "market"
  | "providers"
  | "quotes";

export type Mode = "full" | "changes";

export type Field =
  | "timestamp"
  | "symbol"
  | "price"
  | "change"
  | "change_percent"
  | "volume"
  | "high"
  | "low"
  | "open"
  | "market_status"
  | "data_source"
  | "previous_close"
  | "exchange_time"
  | "received_at"
  | "delay_seconds"
  | "origin"
  | "review"
  | "stale"
  | "stale_reason";

export type OnSlow = "conflate" | "disconnect";

export type Interval = "1m" | "5m" | "1h" | "1d";

/** What a rule watches for. A price, change or volume is compared with the rule's threshold. */
export type AlertCondition =
  | "price_above"
  | "price_below"
  | "price_crosses"
  | "change_pct_above"
  | "change_pct_below"
  | "volume_above"
  | "new_high"
  | "new_low"
  | "stale"
  | "phase";

export type Severity = "info" | "warning" | "critical";

/** How a quote that looked doubtful came to be accepted. */
export type Review = "confirmed" | "corrected";

/** Why there is no newer quote of a stock. */
export type StaleReason = "not_traded" | "unreadable" | "rejected" | "renamed" | "missing" | "unchanged" | "silent";

/** The name and the version of the server. */
export interface ServerInfo {
  name: string;
  version: string;
}

/** A place in the journal. Offsets grow by 1; the epoch changes only if the history was lost. */
export interface Position {
  epoch: string;
  offset: number;
}

/** The first message. It carries what the guide's health check reads from it. */
export interface Connection {
  type: "connection";
  status: "connected";
  timestamp: string;
  message: string;
  server: ServerInfo;
  session: string;
  protocol: number;
  questdb_status: ConnectionStatus;
  pocketbase_status: ConnectionStatus;
  data_providers: string[];
  market_status: MarketStatus;
  session_phase: Phase;
  /** Seconds. */
  update_interval: number;
  /** Null until a provider has given a good answer. */
  delay_seconds: number | null;
  position: Position | null;
  auth: "none" | "required";
  simulated: boolean;
  /** Of the first provider; each quote has its own. */
  origin: Origin;
  /** Whether alert rules are evaluated here. */
  alerts: boolean;
}

/** The result of the last cycle. */
export interface LastCycle {
  time: string;
  /** Seconds. */
  duration: number;
  fetched: number;
  rejected: number;
  changed: number;
  error: string | null;
}

/** One line of the provider scoreboard. */
export interface ProviderRow {
  name: string;
  status: ConnectionStatus;
  /** The label of its quotes. */
  kind: Origin;
  /** Its stated delay behind the exchange. */
  delay_seconds: number | null;
  /** Between two requests; 0: every cycle. */
  interval_seconds: number;
  /** How many it gave to the last cycle. */
  symbols: number;
  /** When its status, or the reason of its refusal, last changed. */
  since: string | null;
  /** Its last good fetch. */
  last_success: string | null;
  last_refusal: string | null;
  /** Of the refusal in force; null when its last answer was good. */
  refusal_reason: string | null;
  /** In plain words. */
  refusal_detail: string | null;
  /** When it is asked again after the refusal in force. */
  next_attempt: string | null;
  /** Requests left today. */
  budget_left: number | null;
  /** How many since the start, by reason. */
  refusals: Record<string, number>;
  /** Our clock minus its Date header; null: unknown. */
  clock_skew_seconds: number | null;
  /** Of its whole last answer; null: unknown. */
  newest_trade: string | null;
}

/** The end of the journal, and how many entries each reader is behind. */
export interface JournalState {
  position: Position;
  entries: number;
  lag: Record<string, number>;
}

/** One node of several, by its own word. */
export interface NodeRow {
  name: string;
  /** Those it may take. */
  roles: string[];
  /** Of `ingest` and `deliver`, which one node at a time has, those it has now. */
  holds: string[];
  version: string;
  /** Its clients. */
  sessions: number;
  /** Up to where it follows the journal. */
  offset: number;
  uptime_seconds: number;
}

/** The state of the service. `journal` is null when it did not answer in time. */
export interface StatusReport {
  type: "status";
  questdb_status: ConnectionStatus;
  pocketbase_status: ConnectionStatus;
  data_providers: string[];
  subscribers: number;
  timestamp: string;
  market_status: MarketStatus;
  session_phase: Phase;
  last_cycle: LastCycle | null;
  providers: ProviderRow[];
  journal: JournalState | null;
  uptime_seconds: number;
  version: string;
  /** When it is due: the next morning, if the providers are not asked at night. */
  next_cycle: string | null;
  /** Where several share the journal. */
  nodes?: NodeRow[];
  id?: RequestId;
}

/** The whole subscription in force, defaults filled in. */
export interface SubscriptionState {
  channels: Channel[];
  /** Null: all. */
  symbols: string[] | null;
  mode: Mode;
  fields: Field[] | null;
  filter: string | null;
  max_rate: number | null;
  on_slow: OnSlow;
  heartbeat: number | null;
}

/** The answer to `subscribe` and `unsubscribe`. */
export interface SubscriptionConfirmed {
  type: "subscription_confirmed";
  timestamp: string;
  subscription: SubscriptionState;
  id?: RequestId;
}

/** The answer to `auth`; also sent after `connection` if the client connected with a token. */
export interface Authenticated {
  type: "authenticated";
  timestamp: string;
  user: string;
  scopes: string[];
  /** Null: never. */
  expires: string | null;
  id?: RequestId;
}

/** The snapshot is complete; the following quotes are live. */
export interface SnapshotEnd {
  type: "snapshot_end";
  timestamp: string;
  position: Position | null;
}

/** The answer to `ping`. */
export interface Pong {
  type: "pong";
  timestamp: string;
  id?: RequestId;
}

/** The answer to a bad message. */
export interface ErrorMessage {
  type: "error";
  message: string;
  /** An error code; 0 in an error that the client itself reports. */
  code: number;
  id?: RequestId;
  retryable: boolean;
}

/** The stream does not continue after `from`: it cannot resume there, or a new epoch begins. A snapshot follows. */
export interface Gap {
  type: "gap";
  timestamp: string;
  from: Position;
  to: Position | null;
  reason: "retention" | "epoch_changed" | "damaged";
}

/** Nothing else was sent during the requested interval. */
export interface Heartbeat {
  type: "heartbeat";
  timestamp: string;
  position: Position | null;
}

/** The market opened, closed, or is about to. */
export interface MarketStatusChanged {
  type: "market_status";
  status: MarketStatus;
  /** The market's time; in a replay the replayed one. */
  timestamp: string;
}

/** The state of a store's connection changed. */
export interface ConnectionStatusChanged {
  type: "connection_status";
  service: "QuestDB" | "Pocketbase";
  status: ConnectionStatus;
  timestamp: string;
  reason: string | null;
}

/** The state of a provider changed. */
export interface ProviderStatusChanged {
  type: "data_provider_status";
  provider: string;
  status: ConnectionStatus;
  timestamp: string | null;
  reason: string | null;
}

/** A candle as of now. A later message of the same `symbol`, `interval` and `start` replaces it. */
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
  /** A late trade changed a closed candle. */
  correction: boolean;
  data_source: string;
}

/** The condition of an alert rule became true. */
export interface Alert {
  type: "alert";
  /** The id of the rule. */
  rule: string;
  /** Null: the whole market. */
  symbol: string | null;
  condition: AlertCondition;
  threshold: number | null;
  observed: number | string | null;
  severity: Severity;
  message: string;
  /** The moment of the quote. */
  triggered_at: string;
  /** Of this alert. */
  id: string;
  /** Of the rule. */
  name: string;
  /** Of the quote. */
  origin: Origin;
}

/** The client is a slow consumer: so many messages were conflated since then. */
export interface Lost {
  type: "lost";
  count: number;
  since: string;
}

/** The server stops; reconnect after this time. */
export interface Shutdown {
  type: "shutdown";
  timestamp: string;
  reconnect_after_ms: number;
}

/** One stock at one moment. An unknown number is null, never 0. */
export interface Quote {
  /** Event time: the exchange's time of the last trade, else the time of observation. */
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
  /** A MarketStatus: that at `timestamp`. */
  market_status: MarketStatus;
  data_source: string;
  previous_close: number | null;
  exchange_time: string | null;
  /** The time of observation. */
  received_at: string | null;
  /** The delay behind the exchange that the provider states. */
  delay_seconds: number | null;
  /** Null only in old journals and in what a provider returns. */
  origin: Origin | null;
  /** Null: it was never doubtful. */
  review: Review | null;
  stale: boolean;
  /** Why there is no newer quote; `not_traded` comes without `stale`, too. */
  stale_reason: StaleReason | null;
}

/** Quotes: a snapshot, those of a cycle, or those missed by a client that resumes. */
export interface StockUpdates {
  type: "stock_updates";
  timestamp: string;
  count: number;
  data: Quote[];
  position: Position | null;
  snapshot: boolean;
  market_status: MarketStatus;
}

/** Select what to receive. It replaces the session's subscription. */
export interface Subscription {
  channels?: readonly Channel[];
  symbols?: readonly string[];
  mode?: Mode;
  /** Only these, and `symbol`; null: all. */
  fields?: readonly Field[];
  /** An expression over the fields of a quote. */
  filter?: string;
  /** Messages with quotes in a second, at most, 0.01 to 50. */
  max_rate?: number;
  /** Resume after it; after a lost connection the clients fill it in. */
  since?: Position;
  on_slow?: OnSlow;
  /** Seconds of silence before a heartbeat, 1 to 60. */
  heartbeat?: number;
}

export type ServerMessage =
  | Connection
  | StatusReport
  | SubscriptionConfirmed
  | Authenticated
  | SnapshotEnd
  | Pong
  | ErrorMessage
  | Gap
  | Heartbeat
  | MarketStatusChanged
  | ConnectionStatusChanged
  | ProviderStatusChanged
  | Candle
  | Alert
  | Lost
  | Shutdown
  | StockUpdates;
