/** How the line to the server is, and what its quotes may be called. */
import { computed, signal } from "@preact/signals";
import type { Connection, ConnectionStatus, Quote } from "@zlotick/client";
import { labelOf, originOfAll, sharesOf, type Label } from "../label.ts";
import { newest } from "./quotes.ts";

export interface Line {
  state: "idle" | "connecting" | "connected" | "waiting" | "closed";
  /** When the next try is due, in ms since 1970; null: none is planned. */
  retryAt: number | null;
  reason: string;
}

export const line = signal<Line>({ state: "idle", retryAt: null, reason: "" });
/** The server's greeting; null before the first. */
export const greeting = signal<Connection | null>(null);
/** Whether all quotes that there are have come once. */
export const complete = signal(false);

let heardAt: number | null = null;

/**
 * When the server was last heard, in ms since 1970, while what is shown is only as new as that: from the break of
 * the line until everything was asked again. null: what is shown is in force.
 */
export const asOf = signal<number | null>(null);

/** The server said something. */
export function heard(): void {
  heardAt = Date.now();
}

/** The line broke: everything stands as it was last heard. */
export function hold(): void {
  asOf.value ??= heardAt;
}

/** How the store of history is; null: not told yet. `disconnected` is one that is off. */
export const questdb = signal<ConnectionStatus | null>(null);

export const staleCount = computed(() => newest.value.filter(({ stale }) => stale).length);

/** A quote's own label. */
export const ownLabel = (quote: Quote): Label => labelOf(quote, greeting.value?.origin ?? "delayed");

/** The labels of all quotes. */
export const shares = computed(() => sharesOf(newest.value.map(ownLabel)));

/** `none`: there are no quotes; else a state of the line, `stale`, `mixed`, or the one origin of all quotes. */
export type Standing = string;

/** The one word over all quotes. A lost line comes first, then what is stale. */
export const standing = computed<Standing>(() => {
  const { state } = line.value;
  if (state === "closed") return "closed";
  if (state !== "connected" || !greeting.value) return greeting.value ? "reconnecting" : "connecting";
  const origin = originOfAll(shares.value);
  if (origin === null) return complete.value ? "none" : "connecting";
  return staleCount.value === newest.value.length ? "stale" : origin;
});
