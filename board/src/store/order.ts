/** Which rows, in which order. Pure. */
import type { Quote } from "@zlotick/client";

export type Filter = "all" | "watched" | "up" | "down";
export type Column = "symbol" | "price" | "change" | "change_percent" | "volume" | "range" | "age";

export interface Sort {
  column: Column;
  descending: boolean;
}

type Value = string | number | null;

/** What a column sorts by; null is unknown and comes last, either way. */
export function sortValue(quote: Quote, column: Column): Value {
  switch (column) {
    case "range":
      return placeInRange(quote);
    case "age":
      return -Date.parse(quote.timestamp); // ascending: the youngest first
    default:
      return quote[column];
  }
}

/** Where the price is between the day's low (0) and high (1). */
export function placeInRange({ low, high, price }: Quote): number | null {
  if (low === null || high === null || high < low) return null;
  return high === low ? 0.5 : Math.min(1, Math.max(0, (price - low) / (high - low)));
}

/** The symbols, sorted; equal ones stay in the order of their symbols. */
export function sorted(quotes: readonly Quote[], { column, descending }: Sort): string[] {
  const sign = descending ? -1 : 1;
  return quotes
    .map((quote) => ({ symbol: quote.symbol, value: sortValue(quote, column) }))
    .sort((a, b) => compare(a.value, b.value, sign) || compare(a.symbol, b.symbol, 1))
    .map(({ symbol }) => symbol);
}

function compare(a: Value, b: Value, sign: number): number {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  return a < b ? -sign : sign;
}

/** The first click sorts texts ascending and numbers descending; the second one reverses. */
export function nextSort(sort: Sort, column: Column): Sort {
  if (sort.column === column) return { column, descending: !sort.descending };
  return { column, descending: column !== "symbol" && column !== "age" };
}

export function passes(quote: Quote, filter: Filter, watched: readonly string[]): boolean {
  switch (filter) {
    case "all":
      return true;
    case "watched":
      return watched.includes(quote.symbol);
    case "up":
      return (quote.change ?? 0) > 0;
    case "down":
      return (quote.change ?? 0) < 0;
  }
}

/** Whether every word of the search is in the symbol or the name, without regard to diacritics. */
export function matches(search: string, symbol: string, name: string): boolean {
  const text = plain(`${symbol} ${name}`);
  return plain(search)
    .split(/\s+/)
    .every((word) => text.includes(word));
}

function plain(text: string): string {
  return text.toLowerCase().replaceAll("ł", "l").normalize("NFD").replace(/\p{M}/gu, "").trim();
}

export function trendOf(change: number | null): "up" | "down" | "unchanged" {
  if (!change) return "unchanged";
  return change > 0 ? "up" : "down";
}
