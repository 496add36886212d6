/** The names of the stocks: requested once, since they change only with the list. */
import { signal } from "@preact/signals";
import type { Symbols } from "@zlotick/client";
import { api } from "./api.ts";

export const names = signal<ReadonlyMap<string, string>>(new Map());

export async function askNames(): Promise<void> {
  if (names.value.size > 0) return;
  try {
    const { symbols } = await api<Symbols>("/symbols");
    names.value = new Map(symbols.flatMap(({ symbol, name }) => (name ? [[symbol, name]] : [])));
  } catch {
    // the table shows tickers alone; the next connection tries again
  }
}
