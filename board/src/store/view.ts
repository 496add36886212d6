/** What the user looks at. */
import { computed, signal } from "@preact/signals";
import { names } from "./names.ts";
import { type Filter, matches, passes, type Sort, sorted } from "./order.ts";
import { watchList } from "./preferences.ts";
import { quoteOf, symbols } from "./quotes.ts";

/** The stock whose details are open. */
export const selected = signal<string | null>(null);
/** The row that has, or last had, the keyboard. */
export const active = signal<string | null>(null);
export const filter = signal<Filter>("all");
export const search = signal("");
export const sort = signal<Sort>({ column: "symbol", descending: false });
/** Whether alerts and providers are open on a page without room beside the table. */
export const asideOpen = signal(false);
export const helpOpen = signal(false);

let before: readonly string[] = [];

/** The rows of the table. An equal list is the same object, so that nothing is rendered again. */
export const rows = computed<readonly string[]>(() => {
  const quotes = symbols.value.flatMap((symbol) => {
    const quote = matches(search.value, symbol, names.value.get(symbol) ?? "") ? quoteOf(symbol) : undefined;
    if (!quote) return [];
    // sorted by symbol and unfiltered, prices are not read: they must not trigger sorting
    const known =
      filter.value === "up" || filter.value === "down" || sort.value.column !== "symbol" ? quote.value : quote.peek();
    return passes(known, filter.value, watchList.value) ? [known] : [];
  });
  const after = sorted(quotes, sort.value);
  if (after.length !== before.length || after.some((symbol, index) => symbol !== before[index])) before = after;
  return before;
});
