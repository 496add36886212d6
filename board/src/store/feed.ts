/** The connection to the gateway: messages update the store, quotes at most once a frame. */
import { type Quote, RealtimeStreamClient } from "@zlotick/client";
import { addressOf } from "./api.ts";
import { asOf, complete, connection, freeze, greeting, heard, questdb } from "./connection.ts";
import { askAlerts, askProviders, takeAlert, takeProviders } from "./events.ts";
import { askMarket, keepTime } from "./market.ts";
import { askNames } from "./names.ts";
import { now } from "./now.ts";
import { take } from "./quotes.ts";
import { forgetToken, token, tokenNeeded } from "./token.ts";

const CHANNELS = ["quotes", "market", "connections", "providers", "alerts"] as const;
const HEARTBEAT_SECONDS = 15;
/** The frequent messages. */
const SIGNS_OF_LIFE = ["connection", "subscription_confirmed", "stock_updates", "heartbeat"] as const;
const UNAUTHORIZED = new Set([4500, 4503]);

/** Another client, for another subscription: the candles of one stock. */
export function newClient(): RealtimeStreamClient {
  const url = addressOf("ws");
  url.protocol = url.protocol.replace("http", "ws");
  return new RealtimeStreamClient(url.href, token.value ? { token: token.value } : {});
}

/** Conflated until the next frame: the newest quote of each symbol. */
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

/** Do not wait for the next attempt. */
export function connectNow(): void {
  client?.connect();
}

/** Connect, or reconnect with another token. */
export function open(): void {
  client?.disconnect();
  const stream = newClient();
  client = stream;
  stream.subscribe("state", ({ state, retryInMs, code, reason }) => {
    if (stream !== client) return;
    connection.value = { state, retryAt: retryInMs === null ? null : Date.now() + retryInMs, reason };
    if (state !== "connected") freeze();
    if (code !== null && UNAUTHORIZED.has(code)) forgetToken();
  });
  for (const type of SIGNS_OF_LIFE) stream.subscribe(type, heard);
  stream.subscribe("connection", (message) => {
    greeting.value = message;
    questdb.value = message.questdb_status;
    if (message.auth === "required" && !token.value) {
      tokenNeeded.value = true;
      stream.disconnect();
    }
  });
  stream.subscribe("subscription_confirmed", () => {
    stream.requestStatus(); // a store may have connected after the greeting, before the subscription
    void askAll();
  });
  stream.subscribe("snapshot_end", () => (complete.value = true));
  stream.subscribe("stock_updates", ({ data }) => show(data));
  stream.subscribe("connection_status", ({ service, status }) => {
    if (service === "QuestDB") questdb.value = status;
  });
  stream.subscribe("market_status", () => void askMarket());
  stream.subscribe("data_provider_status", () => void askProviders());
  stream.subscribe("status", (report) => {
    questdb.value = report.questdb_status;
    takeProviders(report);
  });
  stream.subscribe("alert", takeAlert);
  stream.subscribe("error", ({ message }) => console.warn(`zlotick: ${message}`));
  stream.select({ channels: CHANNELS, mode: "changes", heartbeat: HEARTBEAT_SECONDS });
  stream.connect();
}

async function askAll(): Promise<void> {
  await Promise.all([askMarket(), askProviders(), askAlerts(), askNames()]);
  if (connection.peek().state === "connected") asOf.value = null;
}

/** Connect, and request the market's time when it is due. */
export function start(): void {
  open();
  now.subscribe(() => {
    if (watching()) keepTime();
  });
}

const watching = (): boolean => connection.peek().state === "connected" && !document.hidden;
