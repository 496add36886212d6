/** The prices of the session of all stocks: those of the quotes seen, and the stored ones, requested lazily. */
import { type Signal, signal } from "@preact/signals";
import type { Candles } from "@zlotick/client";
import { api, HttpError, market, questdb, quoteOf } from "../store/index.ts";
import { DayPrices } from "./day_prices.ts";

/** Requests at a time: the server allows one page only a few, and the chart needs one, too. */
const AT_ONCE = 2;
const TOO_MANY = 429;
const OFF = 503;
const LATER_MS = 60_000;

const known = new Map<string, DayPrices>();
const versions = new Map<string, Signal<number>>();
const queue = new Set<string>();
const asked = new Map<string, string>();
let running = 0;
let notBefore = 0;

export function dayPricesOf(symbol: string): DayPrices {
  let prices = known.get(symbol);
  if (!prices) known.set(symbol, (prices = new DayPrices()));
  return prices;
}

/** Grows whenever stored prices arrived. */
export function versionOf(symbol: string): Signal<number> {
  let version = versions.get(symbol);
  if (!version) versions.set(symbol, (version = signal(0)));
  return version;
}

/** The row is visible: request its stored prices, once a session. Call it in an effect: it runs again when the store is there. */
export function request(symbol: string): void {
  const day = market.value?.session_day;
  if (!day || questdb.value !== "connected" || asked.get(symbol) === day) return;
  queue.add(symbol);
  next();
}

/** The row is no longer visible. */
export function cancelRequest(symbol: string): void {
  queue.delete(symbol);
}

function next(): void {
  const day = market.peek()?.session_day;
  if (!day || running >= AT_ONCE || Date.now() < notBefore) return;
  const [symbol] = queue;
  if (symbol === undefined) return;
  queue.delete(symbol);
  asked.set(symbol, day);
  running++;
  void ask(symbol, day).finally(() => {
    running--;
    next();
  });
}

async function ask(symbol: string, day: string): Promise<void> {
  const provider = quoteOf(symbol)?.peek().data_source;
  try {
    const { data } = await api<Candles>(`/candles/${symbol}?interval=5m&from=${day}T00:00:00Z&limit=200`);
    const shown = data.filter(({ data_source }) => data_source === provider);
    dayPricesOf(symbol).fill(shown.map(({ start, close }) => ({ moment: Date.parse(start), price: close })));
    versionOf(symbol).value++;
  } catch (error) {
    const again = error instanceof HttpError && [0, TOO_MANY, OFF].includes(error.status);
    if (!again) return;
    asked.delete(symbol);
    notBefore = Date.now() + LATER_MS; // the store is off or busy
  }
}
