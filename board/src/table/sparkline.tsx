import { effect, type ReadonlySignal, type Signal, useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { quoteOf } from "../store/index.ts";
import { cancelDraw, drawLater } from "./draw_queue.ts";
import { HEIGHT, NO_SHAPE, type Shape, shapeOf, WIDTH } from "./shape.ts";
import { cancelRequest, dayPricesOf, request, versionOf } from "./stored_prices.ts";

/**
 * The prices of the session, with the previous close as a line. Drawn in turns, and only where it is seen.
 * SVG and not canvas: each canvas would be a layer that is composited at every frame.
 */
export function Sparkline({ symbol, seen }: { symbol: string; seen: ReadonlySignal<boolean> }) {
  const shape = useSignal(NO_SHAPE);
  useEffect(() => follow(symbol, seen, shape), [symbol]);
  const part = (name: keyof Shape) => useComputed(() => shape.value[name]);
  const look = useComputed(() => `spark ${shape.value.trend}`);
  return (
    <svg class={look} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="base" d={part("base")} />
      <path d={part("prices")} />
      <path class="end" d={part("end")} />
    </svg>
  );
}

function follow(symbol: string, seen: ReadonlySignal<boolean>, shape: Signal<Shape>): () => void {
  const quote = quoteOf(symbol);
  const prices = dayPricesOf(symbol);
  const draw = (): void => {
    if (seen.peek()) shape.value = shapeOf(prices.values, quote?.peek().previous_close ?? null);
  };
  const stops = [
    effect(() => {
      if (quote) prices.add(Date.parse(quote.value.timestamp), quote.value.price);
      if (seen.peek()) drawLater(draw);
    }),
    effect(() => {
      if (seen.value) request(symbol);
      else cancelRequest(symbol);
    }),
    effect(() => {
      void versionOf(symbol).value;
      if (seen.value) draw();
    }),
  ];
  return () => {
    cancelDraw(draw);
    cancelRequest(symbol);
    for (const stop of stops) stop();
  };
}
