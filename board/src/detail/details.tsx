import type { Signal } from "@preact/signals";
import type { Quote } from "@zlotick/client";
import { number, percent, price, signed, UNKNOWN, warsawDate } from "../i18n/format.ts";
import { type Key, languageTag, t, word } from "../i18n/index.ts";
import { closeDetails } from "../keyboard.ts";
import { AsOf, originText } from "../label_text.tsx";
import { lazy } from "../lazy.tsx";
import { names, ownLabel, quoteOf, toggleWatched, watchList } from "../store/index.ts";
import { trendOf } from "../store/order.ts";

const ChartPanel = lazy(() => import("../panels/chart.tsx"));

/** One stock: its numbers and its chart. */
export function Details({ symbol }: { symbol: string }) {
  const quote = quoteOf(symbol);
  return (
    <section class="details" aria-label={t("details", { symbol })}>
      <Title symbol={symbol} />
      {quote && <Headline quote={quote} />}
      {quote && <Because quote={quote.value} />}
      <ChartPanel key={symbol} symbol={symbol} />
      {quote && <Numbers quote={quote} />}
    </section>
  );
}

function Title({ symbol }: { symbol: string }) {
  const watched = watchList.value.includes(symbol);
  return (
    <div class="title">
      <h2>
        {symbol} <span>{names.value.get(symbol)}</span>
      </h2>
      <button
        type="button"
        aria-pressed={watched}
        aria-label={t(watched ? "unwatch" : "watch", { symbol })}
        onClick={() => toggleWatched(symbol)}
      >
        {watched ? "★" : "☆"}
      </button>
      <button type="button" class="close" aria-label={t("close")} onClick={closeDetails}>
        ✕
      </button>
    </div>
  );
}

function Headline({ quote }: { quote: Signal<Quote> }) {
  const { price: last, change, change_percent } = quote.value;
  const label = ownLabel(quote.value);
  const tag = languageTag.value;
  return (
    <p class={`headline ${trendOf(change)}`}>
      <strong>{price(last, tag)}</strong>
      <span class="muted">PLN</span> <span class="moved">{signed(change, tag)}</span>{" "}
      <span class="moved">{percent(change_percent, tag)}</span>
      <em class={label.origin}>{originText(label)}</em>
    </p>
  );
}

/** Why there is no newer quote, and whether this one was doubtful. */
function Because({ quote }: { quote: Quote }) {
  const { stale, stale_reason: reason, review } = quote;
  return (
    <>
      {(stale || reason) && (
        <p class={stale ? "because stale" : "because"}>
          {stale && <b>{t("stale")}: </b>}
          {word("because_", reason ?? "stale")}
        </p>
      )}
      {review && (
        <p class="because">
          <b>{t("review")}: </b>
          {word("review_", review)}
        </p>
      )}
      <AsOf />
    </>
  );
}

function Numbers({ quote }: { quote: Signal<Quote> }) {
  const { open, high, low, previous_close, volume, exchange_time, data_source } = quote.value;
  const tag = languageTag.value;
  const time = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;
  const rows: [Key, string][] = [
    ["open", price(open, tag)],
    ["high", price(high, tag)],
    ["low", price(low, tag)],
    ["previousClose", price(previous_close, tag)],
    ["volume", number(volume, 0, tag)],
    ["provider", data_source],
    ["exchangeTime", exchange_time ? warsawDate(Date.parse(exchange_time), tag, time) : UNKNOWN],
  ];
  return (
    <dl class="numbers">
      {rows.map(([label, value]) => (
        <div key={label}>
          <dt>{t(label)}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
