/** The newest quote of every symbol, each a signal of its own: a change of one touches the cells of one row. */
import { batch, computed, signal, type Signal } from "@preact/signals";
import type { Quote } from "@zlotick/client";

const known = new Map<string, Signal<Quote>>();

/** All symbols that have a quote, in their order. */
export const symbols = signal<readonly string[]>([]);

/** The quote's signal. Reading `symbols` first tells when a new one appears. */
export function quoteOf(symbol: string): Signal<Quote> | undefined {
  return known.get(symbol);
}

/** The newest quote of each. */
export const newest = computed<Quote[]>(() => symbols.value.flatMap((symbol) => quoteOf(symbol)?.value ?? []));

/** All quotes as they are now, without subscribing to each. */
export const quotes: ReadonlyMap<string, Signal<Quote>> = known;

/** Take in newer quotes, in one step for all that show them. */
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
