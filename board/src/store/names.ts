/** The names of the stocks: asked once, for they change with the list only. */
import { signal } from "@preact/signals";
import { api } from "./api.ts";

export const names = signal<ReadonlyMap<string, string>>(new Map());

export async function askNames(): Promise<void> {
  if (names.value.size > 0) return;
  try {
    const { symbols } = await api<{ symbols: { symbol: string; name: string | null }[] }>("/symbols");
    names.value = new Map(symbols.flatMap(({ symbol, name }) => (name ? [[symbol, name]] : [])));
  } catch {
    // tickers alone will do; the next connection asks again
  }
}
