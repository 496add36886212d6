/** The line to the gateway: what it tells goes into the store, at most once a frame. */
import { RealtimeStreamClient, type Quote, type Subscription } from "@zlotick/client";
import { addressOf } from "./api.ts";
import { asOf, complete, greeting, heard, hold, line, questdb } from "./connection.ts";
import { askAlerts, askProviders, nextCycle, providers, takeAlert } from "./events.ts";
import { askMarket, keepTime } from "./market.ts";
import { askNames } from "./names.ts";
import { now } from "./now.ts";
import { take } from "./quotes.ts";
import { forgetToken, token, tokenNeeded } from "./token.ts";

const CHANNELS = ["quotes", "market", "connections", "providers"] as const;
const HEARTBEAT_SECONDS = 15;
/** Of the messages, those that come often. */
const SIGNS_OF_LIFE = ["connection", "subscription_confirmed", "stock_updates", "heartbeat"] as const;
const UNAUTHORIZED = new Set([4500, 4503]);

/** A client of its own for who wants another subscription: the candles of one stock. */
export function newClient(): RealtimeStreamClient {
  const url = addressOf("ws");
  url.protocol = url.protocol.replace("http", "ws");
  return new RealtimeStreamClient(url.href, token.value ? { token: token.value } : {});
}

/** What came since the last frame: the newest of each symbol. */
const waiting = new Map<string, Quote>();

function show(news: readonly Quote[]): void {
  if (waiting.size === 0 && news.length > 0) requestAnimationFrame(showWaiting);
  for (const quote of news) waiting.set(quote.symbol, quote);
}

function showWaiting(): void {
  take(waiting.values());
  waiting.clear();
}

let client: RealtimeStreamClient | null = null;

/** Do not wait for the next try. */
export function connectNow(): void {
  client?.connect();
}

/** Connect, or reconnect with another token. */
export function open(): void {
  client?.disconnect();
  const stream = newClient();
  client = stream;
  const subscription = (alerts: boolean): Subscription => ({
    channels: alerts ? [...CHANNELS, "alerts"] : [...CHANNELS],
    mode: "changes",
    heartbeat: HEARTBEAT_SECONDS,
  });
  stream.subscribe("state", ({ state, retryInMs, code, reason }) => {
    if (stream !== client) return;
    line.value = { state, retryAt: retryInMs === null ? null : Date.now() + retryInMs, reason };
    if (state !== "connected") hold();
    if (code !== null && UNAUTHORIZED.has(code)) forgetToken();
  });
  for (const type of SIGNS_OF_LIFE) stream.subscribe(type, heard);
  stream.subscribe("connection", (told) => {
    greeting.value = told;
    questdb.value = told.questdb_status;
    if (told.auth === "required" && !token.value) {
      tokenNeeded.value = true;
      stream.disconnect();
    }
  });
  stream.subscribe("subscription_confirmed", () => void askAll());
  stream.subscribe("snapshot_end", () => (complete.value = true));
  stream.subscribe("stock_updates", ({ data }) => show(data));
  stream.subscribe("connection_status", ({ service, status }) => {
    if (service === "QuestDB") questdb.value = status;
  });
  stream.subscribe("market_status", () => void askMarket());
  stream.subscribe("data_provider_status", () => void askProviders());
  stream.subscribe("status", (told) => {
    providers.value = told.providers;
    nextCycle.value = told.next_cycle;
  });
  stream.subscribe("alert", takeAlert);
  stream.subscribe("error", ({ code, message }) => {
    if (code === 404 && message.includes("alerts")) stream.select(subscription(false));
    else console.warn(`zlotick: ${message}`);
  });
  stream.select(subscription(true));
  stream.connect();
}

async function askAll(): Promise<void> {
  await Promise.all([askMarket(), askProviders(), askAlerts(), askNames()]);
  if (line.peek().state === "connected") asOf.value = null;
}

/** Open the line and keep the clocks. */
export function start(): void {
  open();
  now.subscribe(() => {
    if (watching()) keepTime();
  });
}

const watching = (): boolean => line.peek().state === "connected" && !document.hidden;
