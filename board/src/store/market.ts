/** The state of the market at the time of its quotes: in a replay at the recorded time. */
import { batch, computed, signal } from "@preact/signals";
import type { Market } from "@zlotick/client";
import { type Clock, clockOf } from "../clock.ts";
import { api } from "./api.ts";
import { asOf, heard } from "./connection.ts";
import { now } from "./now.ts";

/** null: unknown yet. */
export const market = signal<Market | null>(null);
/** As text, which changes only with its content: the market is requested every few seconds. */
const closedDaysText = computed(() => market.value?.closed_days.join() ?? "");
/** Weekdays without a session. */
export const closedDays = computed<ReadonlySet<string>>(() => new Set(closedDaysText.value.split(",")));
const clock = signal<Clock | null>(null);

/**
 * The market's time now, in ms since 1970; null: unknown yet. It stops when the connection is lost, and where the next
 * phase begins: only the server can say that it did.
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
/** While the clock's rate is unknown, or that of a replay. */
const ASK_OFTEN_MS = 5_000;
/** When a change is due: the server's cycle may be a little behind the clock. */
const ASK_SOON_MS = 2_000;

let asked = 0;
let asking = false;

/** Request the state of the market. The connection shows failures. */
export async function askMarket(): Promise<void> {
  if (asking) return;
  asking = true;
  const before = (asked = Date.now());
  try {
    const answer = await api<Market>("/market");
    heard();
    batch(() => {
      market.value = answer;
      clock.value = clockOf(clock.value, Date.parse(answer.time), (before + Date.now()) / 2, asOf.value === null);
    });
  } catch {
    // requested again when it is due
  } finally {
    asking = false;
  }
}

/** Request it when it is due. Call it once a second. */
export function keepTime(): void {
  const steady = clock.peek()?.rate === 1 ? ASK_EVERY_MS : ASK_OFTEN_MS;
  const wait = untilPhase.peek() === 0 ? ASK_SOON_MS : steady;
  if (Date.now() - asked >= wait) void askMarket();
}
