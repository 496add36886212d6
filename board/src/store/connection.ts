/** The state of the connection, and the label of the quotes. */
import { computed, signal } from "@preact/signals";
import type { Connection, ConnectionStatus, Quote } from "@zlotick/client";
import { type Label, labelOf, originOfAll, sharesOf } from "../label.ts";
import { newest } from "./quotes.ts";

export interface ConnectionState {
  state: "idle" | "connecting" | "connected" | "waiting" | "closed";
  /** When the next attempt is due, in ms since 1970; null: none is planned. */
  retryAt: number | null;
  reason: string;
}

export const connection = signal<ConnectionState>({ state: "idle", retryAt: null, reason: "" });
/** The first message of the server; null before it. */
export const greeting = signal<Connection | null>(null);
/** Whether the first snapshot is complete. */
export const complete = signal(false);

let heardAt: number | null = null;

/**
 * While the shown values are frozen: when the server was last heard, in ms since 1970. From the loss of the connection
 * until everything was requested again. null: the shown values are live.
 */
export const asOf = signal<number | null>(null);

/** A message or an answer arrived. */
export function heard(): void {
  heardAt = Date.now();
}

/** The connection was lost: freeze the shown values. */
export function freeze(): void {
  asOf.value ??= heardAt;
}

/** The state of the store of history; null: unknown yet. `disconnected`: it is off. */
export const questdb = signal<ConnectionStatus | null>(null);

export const staleCount = computed(() => newest.value.filter(({ stale }) => stale).length);

/** A quote's own label. */
export const ownLabel = (quote: Quote): Label => labelOf(quote, greeting.value?.origin ?? "delayed");

/** The labels of all quotes. */
export const shares = computed(() => sharesOf(newest.value.map(ownLabel)));

/** `none`: there are no quotes; else a state of the connection, `stale`, `mixed`, or the origin of all quotes. */
export type Standing = string;

/** The label of all quotes. A lost connection comes first, then stale quotes. */
export const standing = computed<Standing>(() => {
  const { state } = connection.value;
  if (state === "closed") return "closed";
  if (state !== "connected" || !greeting.value) return greeting.value ? "reconnecting" : "connecting";
  const origin = originOfAll(shares.value);
  if (origin === null) return complete.value ? "none" : "connecting";
  return staleCount.value === newest.value.length ? "stale" : origin;
});
