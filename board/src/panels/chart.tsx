/** The chart of one stock: candles, or the line of the day, with their volume. */
import { effect, type Signal, signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { number, price } from "../i18n/format.ts";
import { languageTag } from "../i18n/index.ts";
import { asOf, closedDays, quoteOf } from "../store/index.ts";
import { shownTheme } from "../theme.ts";
import { DAY } from "./chart/buckets.ts";
import type { Bar } from "./chart/candles.ts";
import { Drawing, type Look, moments } from "./chart/drawing.ts";
import { CandleFeed } from "./chart/feed.ts";
import { p, word } from "./strings.ts";
import "./panels.css";

const VIEWS = ["day", "1m", "5m", "1h", "1d"] as const;
type View = (typeof VIEWS)[number];

/** Kept when another stock is selected. */
const view = signal<View>("day");

export default function ChartPanel({ symbol }: { symbol: string }) {
  return (
    <section class="chart" aria-label={p("chart", { symbol })}>
      <div class="segments" role="group" aria-label={p("interval")}>
        {VIEWS.map((one) => (
          <button key={one} type="button" aria-pressed={view.value === one} onClick={() => (view.value = one)}>
            {word("view", one)}
          </button>
        ))}
      </div>
      <Chart key={`${symbol} ${view.value}`} symbol={symbol} view={view.value} />
      <p class="muted small">
        {p("warsawTime")} · {p("madeWith")}
      </p>
    </section>
  );
}

interface Shown {
  symbol: string;
  view: View;
}

function Chart({ symbol, view }: Shown) {
  const box = useRef<HTMLDivElement>(null);
  const pointed = useSignal<number | null>(null);
  const feed = useMemo(() => {
    const provider = quoteOf(symbol)?.peek().data_source ?? null;
    return new CandleFeed(symbol, view === "day" ? "1m" : view, provider);
  }, []);
  const drawing = useDrawing(box, feed, { symbol, view }, pointed);

  void feed.version.value; // the candles are read below
  const { candles } = feed;
  const bar = (pointed.value !== null && candles.at(pointed.value)) || candles.last;
  const step = (event: KeyboardEvent): void => {
    const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = steps && candles.last && candles.beside(pointed.value ?? candles.last.time, steps);
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    pointed.value = next.time;
    drawing.current?.point(next);
  };
  const summary = {
    symbol,
    view: word("view", view),
    count: candles.size,
    price: price(candles.last?.close, languageTag.value),
  };
  return (
    <>
      <Readout bar={bar} daily={view === "1d"} spoken={pointed.value !== null} />
      <div ref={box} class="plot" role="group" tabIndex={0} aria-label={p("chartOf", summary)} onKeyDown={step} />
      <Notice feed={feed} symbol={symbol} />
    </>
  );
}

/** Draws the candles of the feed while the component is mounted. */
function useDrawing(
  box: RefObject<HTMLDivElement | null>,
  feed: CandleFeed,
  { symbol, view }: Shown,
  pointed: Signal<number | null>,
): RefObject<Drawing | null> {
  const drawing = useRef<Drawing>(null);
  useEffect(() => {
    const element = box.current as HTMLDivElement;
    const base = quoteOf(symbol)?.peek().previous_close ?? null;
    const chart = new Drawing(
      element,
      view === "day" ? { candles: false, base } : { candles: true },
      look(element, view),
    );
    drawing.current = chart;
    chart.onHover((time) => (pointed.value = time));
    if (view !== "day") chart.onLeftEdge(() => void feed.earlier());
    const stops = [
      effect(() => draw(chart, feed, view)),
      effect(() => {
        void shownTheme.value; // the colours of the style sheet change a frame later
        void languageTag.value;
        void asOf.value; // grey while the connection is lost
        requestAnimationFrame(() => drawing.current?.restyle(look(element, view)));
      }),
    ];
    feed.start();
    return () => {
      drawing.current = null;
      for (const stop of stops) stop();
      feed.stop();
      chart.remove();
    };
  }, []);
  return drawing;
}

function draw(chart: Drawing, feed: CandleFeed, view: View): void {
  void feed.version.value;
  const { last } = feed.candles;
  if (!last) return;
  if (!feed.redraw()) return chart.update(last);
  const points = feed.candles.withHoles(closedDays.peek());
  if (view !== "day") return chart.draw(points);
  chart.draw(points.filter(({ time }) => time >= last.time - (last.time % DAY)));
  chart.fit();
}

/** The colours of the style sheet, for the canvas. */
function look(element: HTMLElement, view: View): Look {
  const probe = element.appendChild(document.createElement("i"));
  const colour = (name: string): string => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const [ink, faint, up, down, muted] = ["text", "line", "up", "down", "muted"].map(colour) as [
    string,
    string,
    string,
    string,
    string,
  ];
  probe.remove();
  return { ink, faint, up, down, muted, language: languageTag.peek(), daily: view === "1d" };
}

/** One candle as text. Announced by a screen reader only when selected: the newest one changes all the time. */
function Readout({ bar, daily, spoken }: { bar: Bar | undefined; daily: boolean; spoken: boolean }) {
  const tag = languageTag.value;
  if (!bar) return <p class="readout">&nbsp;</p>;
  const values = [
    ["open", price(bar.open, tag)],
    ["high", price(bar.high, tag)],
    ["low", price(bar.low, tag)],
    ["close", price(bar.close, tag)],
    ["volume", number(bar.volume, 0, tag)],
  ] as const;
  return (
    <p class="readout" aria-live={spoken ? "polite" : "off"}>
      <b>{moments(tag, daily)(bar.time)}</b>
      {values.map(([name, value]) => (
        <span key={name}>
          <span class="muted">{p(name)}</span> {value}
        </span>
      ))}
      <span class="muted">{bar.data_source}</span>
    </p>
  );
}

/** What is missing; nothing if the chart is complete. */
function Notice({ feed, symbol }: { feed: CandleFeed; symbol: string }) {
  const history = feed.history.value;
  if (history === "ready") return feed.candles.size ? null : <p class="notice">{p("chartEmpty", { symbol })}</p>;
  if (asOf.value !== null) return <p class="notice">{p("chartOffline")}</p>;
  if (history === "loading") return <p class="notice">{p("chartLoading")}</p>;
  return (
    <p class="notice" role="status">
      {p(history === "off" ? "chartOff" : "chartFailed")}{" "}
      {history === "failed" && (
        <button type="button" onClick={() => void feed.load()}>
          {p("again")}
        </button>
      )}
    </p>
  );
}
