/** How the line to the server is, and what its quotes may be called. */
import { computed, signal } from "@preact/signals";
import type { Connection, ConnectionStatus } from "@zlotick/client";
import { quoteOf, symbols } from "./quotes.ts";

export interface Line {
  state: "idle" | "connecting" | "connected" | "waiting" | "closed";
  /** When the next try is due, in ms since 1970; null: none is planned. */
  retryAt: number | null;
  reason: string;
}

export const line = signal<Line>({ state: "idle", retryAt: null, reason: "" });
/** The server's greeting; null before the first. */
export const greeting = signal<Connection | null>(null);

/** How the store of history is; null: not told yet. `disconnected` is one that is off. */
export const questdb = signal<ConnectionStatus | null>(null);

export const staleCount = computed(
  () => symbols.value.filter((symbol) => quoteOf(symbol)?.value.stale).length,
);

export type Standing = "live" | "delayed" | "stale" | "replayed" | "simulated" | "reconnecting" | "connecting" | "closed";

/** The one word over all quotes. A lost line comes first, then what is stale. */
export const standing = computed<Standing>(() => {
  const { state } = line.value;
  if (state === "closed") return "closed";
  if (state !== "connected" || !greeting.value) return greeting.value ? "reconnecting" : "connecting";
  const { origin } = greeting.value;
  if (origin === "replayed" || origin === "simulated") return origin;
  const count = symbols.value.length;
  if (count > 0 && staleCount.value === count) return "stale";
  return origin === "live" ? "live" : "delayed";
});
