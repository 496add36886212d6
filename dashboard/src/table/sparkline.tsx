import { computed, effect, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { market, quoteOf } from "../store/index.ts";
import { shownTheme } from "../theme.ts";
import { PLACES, type Course } from "./course.ts";
import { trendOf } from "./order.ts";
import { courseOf, unwant, versionOf, want } from "./courses.ts";

const WIDTH = 128;
const HEIGHT = 22;
const MARGIN = 2;
const DRAW_EVERY_MS = 1_000;

/** Of the style sheet, read once: asking for each row would lay out the page each time. */
const colours = computed(() => {
  void shownTheme.value;
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(name);
  return { line: of("--line-strong"), up: of("--up"), down: of("--down"), unchanged: of("--muted") };
});

const seen = new Map<Element, (visible: boolean) => void>();
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) seen.get(target)?.(isIntersecting);
});

/** The course of the session, with the previous close as a line. Drawn at most once a second, and only where it is seen. */
export function Sparkline({ symbol }: { symbol: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => (canvas.current ? follow(canvas.current, symbol) : undefined), [symbol]);
  return <canvas ref={canvas} class="spark" width={WIDTH * 2} height={HEIGHT * 2} aria-hidden="true" />;
}

function follow(canvas: HTMLCanvasElement, symbol: string): () => void {
  const quote = quoteOf(symbol);
  const course = courseOf(symbol);
  const visible = signal(false);
  let timer: ReturnType<typeof setTimeout> | undefined;

  const show = (): void => draw(canvas, course, quote?.peek().previous_close ?? null);
  function drawSoon(): void {
    if (!visible.peek() || timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      if (visible.peek()) show();
    }, DRAW_EVERY_MS);
  }
  const stop = effect(() => {
    if (quote) course.add(Date.parse(quote.value.timestamp), quote.value.price);
    drawSoon();
  });
  const stopAsking = effect(() => {
    if (market.value && visible.value) want(symbol);
  });
  const stopLook = effect(() => {
    void colours.value;
    void versionOf(symbol).value;
    if (visible.value) show();
  });
  seen.set(canvas, (now) => {
    visible.value = now;
    if (!now) unwant(symbol);
  });
  observer.observe(canvas);
  return () => {
    observer.unobserve(canvas);
    seen.delete(canvas);
    clearTimeout(timer);
    unwant(symbol);
    stop();
    stopAsking();
    stopLook();
  };
}

function draw(canvas: HTMLCanvasElement, { prices }: Course, previous: number | null): void {
  const pen = canvas.getContext("2d");
  const known = prices.filter((price) => price !== undefined);
  const last = known.at(-1);
  if (!pen || last === undefined) return;
  const all = previous === null ? known : [...known, previous];
  const low = Math.min(...all);
  const spread = Math.max(...all) - low;
  const x = (place: number): number => MARGIN + (place / (PLACES - 1)) * (WIDTH - 2 * MARGIN);
  const y = (price: number): number =>
    spread === 0 ? HEIGHT / 2 : HEIGHT - MARGIN - ((price - low) / spread) * (HEIGHT - 2 * MARGIN);

  pen.setTransform(2, 0, 0, 2, 0, 0);
  pen.clearRect(0, 0, WIDTH, HEIGHT);
  if (previous !== null) {
    pen.strokeStyle = colours.value.line;
    pen.setLineDash([2, 2]);
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(0, y(previous));
    pen.lineTo(WIDTH, y(previous));
    pen.stroke();
    pen.setLineDash([]);
  }
  pen.strokeStyle = pen.fillStyle = colours.value[trendOf(previous === null ? null : last - previous)];
  pen.lineWidth = 1.25;
  pen.lineJoin = "round";
  pen.beginPath();
  prices.forEach((price, place) => {
    if (price !== undefined) pen.lineTo(x(place), y(price));
  });
  pen.stroke();
  pen.beginPath();
  pen.arc(x(prices.length - 1), y(last), 1.75, 0, 7);
  pen.fill();
}
