/** What the market is doing, at the moment its quotes are from: a replay has the clock of its recording. */
import { computed, signal } from "@preact/signals";
import { clockOf, type Clock } from "../clock.ts";
import { api } from "./api.ts";

export interface Market {
  status: string;
  phase: string;
  time: string;
  next_change: string;
  session_day: string;
  is_session: boolean;
}

/** null: not told yet. */
export const market = signal<Market | null>(null);
const clock = signal<Clock | null>(null);
/** Ticks once a second; while the page is hidden the browser slows it. */
const second = signal(Date.now());

/** The market's time now, in ms since 1970; null before the server said it. */
export const marketTime = computed(() => (clock.value ? clock.value.at(second.value) : null));

const ASK_EVERY_MS = 15_000;
/** After the next change was due, so that the server's clock has passed it, too. */
const GRACE_MS = 1_000;

let asked = 0;
let asking = false;

/** Ask the server what the market is doing. Failures are the connection's to tell. */
export async function askMarket(): Promise<void> {
  if (asking) return;
  asking = true;
  asked = Date.now();
  try {
    const told = await api<Market>("/market");
    market.value = told;
    clock.value = clockOf(clock.value, Date.parse(told.time), Date.now());
  } catch {
    // the next turn asks again
  } finally {
    asking = false;
  }
}

/** Keep the clock going, and ask when it is time. Returns what stops it. */
export function keepTime(online: () => boolean): () => void {
  const timer = setInterval(() => {
    second.value = Date.now();
    const due = market.value ? Date.parse(market.value.next_change) + GRACE_MS : 0;
    const passed = (marketTime.peek() ?? 0) > due;
    const wait = passed ? 2_000 : ASK_EVERY_MS;
    if (online() && !document.hidden && second.value - asked > wait) void askMarket();
  }, 1000);
  return () => clearInterval(timer);
}
