/** What the market is doing, at the moment its quotes are from: a replay has the clock of its recording. */
import { batch, computed, signal } from "@preact/signals";
import { clockOf, type Clock } from "../clock.ts";
import { api } from "./api.ts";
import { asOf, heard } from "./connection.ts";
import { now } from "./now.ts";

export interface Market {
  status: string;
  phase: string;
  time: string;
  next_phase: string;
  next_phase_at: string;
  /** The Warsaw date. */
  session_day: string;
  is_session: boolean;
}

/** null: not told yet. */
export const market = signal<Market | null>(null);
const clock = signal<Clock | null>(null);

/**
 * The market's time now, in ms since 1970; null before the server said it. It stops with the line, and where the next
 * phase begins: only the server knows that it did.
 */
export const marketTime = computed(() => {
  if (!clock.value || !market.value) return null;
  return Math.min(clock.value.at(asOf.value ?? now.value), Date.parse(market.value.next_phase_at));
});
/** Until the next phase, in ms of the market's clock. */
export const untilPhase = computed(() =>
  market.value && marketTime.value !== null
    ? Math.max(0, Date.parse(market.value.next_phase_at) - marketTime.value)
    : null,
);

const ASK_EVERY_MS = 15_000;
/** While the clock's rate is not known, or is that of a replay. */
const ASK_OFTEN_MS = 5_000;
/** Once a change was due: the server's cycle may be a little behind the clock. */
const ASK_SOON_MS = 2_000;

let asked = 0;
let asking = false;

/** Ask the server what the market is doing. Failures are the connection's to tell. */
export async function askMarket(): Promise<void> {
  if (asking) return;
  asking = true;
  const before = (asked = Date.now());
  try {
    const told = await api<Market>("/market");
    heard();
    batch(() => {
      market.value = told;
      clock.value = clockOf(clock.value, Date.parse(told.time), (before + Date.now()) / 2, asOf.value === null);
    });
  } catch {
    // the next turn asks again
  } finally {
    asking = false;
  }
}

/** Ask when it is time. Call it now and then. */
export function keepTime(): void {
  const steady = clock.peek()?.rate === 1 ? ASK_EVERY_MS : ASK_OFTEN_MS;
  const wait = untilPhase.peek() === 0 ? ASK_SOON_MS : steady;
  if (Date.now() - asked >= wait) void askMarket();
}
