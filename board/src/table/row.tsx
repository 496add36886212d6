import { type ReadonlySignal, type Signal, useComputed, useSignalEffect } from "@preact/signals";
import type { Quote } from "@zlotick/client";
import { useRef } from "preact/hooks";
import { digitsOf, number, percent, price, signed, span, UNKNOWN } from "../i18n/format.ts";
import { languageTag, t, word } from "../i18n/index.ts";
import { labelText } from "../label_text.tsx";
import {
  active,
  marketTime,
  names,
  now,
  ownLabel,
  quoteOf,
  selected,
  toggleWatched,
  watchList,
} from "../store/index.ts";
import { placeInRange, trendOf } from "../store/order.ts";
import { flash } from "./flash.ts";
import { Sparkline } from "./sparkline.tsx";
import { useVisible } from "./visibility.ts";

/** One stock. Its cells are signals: a new quote changes their texts without rendering the row again. */
export function Row({ symbol, index }: { symbol: string; index: number }) {
  const box = useRef<HTMLTableRowElement>(null);
  const seen = useVisible(box);
  const quote = useShown(symbol, seen);
  const digits = useComputed(() => {
    const { price: last, low, high, previous_close } = quote.value;
    return digitsOf([last, low, high, previous_close]);
  });
  const text = (say: (quote: Quote, tag: string) => string): ReadonlySignal<string> =>
    useComputed(() => say(quote.value, languageTag.value));
  const state = useComputed(() => (quote.value.stale ? "stale" : ""));
  const trend = useComputed(() => trendOf(quote.value.change));
  const current = useComputed(() => (selected.value === symbol ? "true" : "false"));
  const reached = useComputed(() => (active.value === symbol ? 0 : -1));
  const age = useComputed(() => ageOf(quote.value, marketTime.value));
  const name = useComputed(() => names.value.get(symbol) ?? "");
  const because = useComputed(() => becauseOf(quote.value));
  const label = useComputed(() => ownLabel(quote.value));
  const provider = useComputed(() => labelText(label.value));
  return (
    <tr
      ref={box}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={current}
      tabIndex={reached}
      data-symbol={symbol}
      class={state}
      onFocus={() => (active.value = symbol)}
      onClick={() => (selected.value = symbol)}
    >
      <td role="gridcell" class="star">
        <Star symbol={symbol} />
      </td>
      <th role="rowheader" scope="row" class="stock">
        <b>{symbol}</b> <span>{name}</span> <em>{because}</em>
      </th>
      <LastPrice quote={quote} text={text(({ price: last }, tag) => price(last, tag, digits.value))} />
      <td role="gridcell" class={useComputed(() => `number change ${trend.value}`)}>
        {text(({ change }, tag) => signed(change, tag, digits.value))}
      </td>
      <td role="gridcell" class={useComputed(() => `number percent ${trend.value}`)}>
        {text(({ change_percent }, tag) => percent(change_percent, tag))}
      </td>
      <td role="gridcell" class="number volume">
        {text(({ volume }, tag) => number(volume, 0, tag))}
      </td>
      <td role="gridcell" class="range">
        <DayRange quote={quote} digits={digits} />
      </td>
      <td role="gridcell" class="day">
        <Sparkline symbol={symbol} seen={seen} />
      </td>
      <td role="gridcell" class="number age">
        {age}
      </td>
      <td role="gridcell" class={useComputed(() => `provider ${label.value.origin}`)} title={provider}>
        {provider}
      </td>
    </tr>
  );
}

/** The quote as its row shows it: an invisible row is updated once a second. */
function useShown(symbol: string, seen: ReadonlySignal<boolean>): ReadonlySignal<Quote> {
  const newest = quoteOf(symbol) as Signal<Quote>;
  return useComputed(() => {
    if (seen.value) return newest.value;
    void now.value;
    return newest.peek();
  });
}

function Star({ symbol }: { symbol: string }) {
  const watched = watchList.value.includes(symbol);
  const toggle = (event: Event): void => {
    event.stopPropagation();
    toggleWatched(symbol);
  };
  return (
    <button
      type="button"
      tabIndex={-1}
      aria-pressed={watched}
      aria-label={t(watched ? "unwatch" : "watch", { symbol })}
      onClick={toggle}
    >
      {watched ? "★" : "☆"}
    </button>
  );
}

function LastPrice({ quote, text }: { quote: ReadonlySignal<Quote>; text: ReadonlySignal<string> }) {
  const cell = useRef<HTMLTableCellElement>(null);
  const before = useRef(quote.peek().price);
  useSignalEffect(() => {
    const { price: now } = quote.value;
    if (cell.current && now !== before.current) flash(cell.current, now > before.current ? "up" : "down");
    before.current = now;
  });
  return (
    <td ref={cell} role="gridcell" class="number last">
      {text}
    </td>
  );
}

function DayRange({ quote, digits }: { quote: ReadonlySignal<Quote>; digits: ReadonlySignal<number> }) {
  const place = useComputed(() => placeInRange(quote.value));
  const low = useComputed(() => price(quote.value.low, languageTag.value, digits.value));
  const high = useComputed(() => price(quote.value.high, languageTag.value, digits.value));
  const words = useComputed(() => `${low.value} – ${high.value}`);
  const style = useComputed(() => `--at: ${Math.round((place.value ?? 0) * 100)}%`);
  const bar = useComputed(() => (place.value === null ? "extent unknown" : "extent"));
  return (
    <span class="range" title={words}>
      <small>{low}</small>
      <span class={bar} style={style} />
      <small>{high}</small>
    </span>
  );
}

/** Why there is no newer quote, in a word or two; empty if the quote is the newest. */
function becauseOf({ stale, stale_reason: reason }: Quote): string {
  if (reason) return word("short_", reason);
  return stale ? t("stale") : "";
}

function ageOf(quote: Quote, time: number | null): string {
  return time === null ? UNKNOWN : span(time - Date.parse(quote.timestamp));
}
