/** The newest quote of every symbol, each a signal of its own: a change of one touches the cells of one row. */
import { batch, computed, type Signal, signal } from "@preact/signals";
import type { Quote } from "@zlotick/client";

const known = new Map<string, Signal<Quote>>();

/** All symbols that have a quote, in their order. */
export const symbols = signal<readonly string[]>([]);

/** The quote's signal. Read `symbols` first to be updated when a new one appears. */
export function quoteOf(symbol: string): Signal<Quote> | undefined {
  return known.get(symbol);
}

/** The newest quote of each. */
export const newest = computed<Quote[]>(() => symbols.value.flatMap((symbol) => quoteOf(symbol)?.value ?? []));

/** All quotes, to be read without subscribing to each. */
export const quotes: ReadonlyMap<string, Signal<Quote>> = known;

/** Take newer quotes, in one batch of updates. */
export function take(news: Iterable<Quote>): void {
  batch(() => {
    let appeared = false;
    for (const quote of news) {
      const one = known.get(quote.symbol);
      if (one) one.value = quote;
      else {
        known.set(quote.symbol, signal(quote));
        appeared = true;
      }
    }
    if (appeared) symbols.value = [...known.keys()].sort();
  });
}
