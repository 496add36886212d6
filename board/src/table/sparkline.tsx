import { effect, useComputed, useSignal, type ReadonlySignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { quoteOf } from "../store/index.ts";
import { courseOf, unwant, versionOf, want } from "./courses.ts";
import { HEIGHT, NO_SHAPE, shapeOf, WIDTH, type Shape } from "./shape.ts";
import { giveUp, inTurn } from "./turns.ts";

/**
 * The course of the session, with the previous close as a line. Drawn in turns, and only where it is seen.
 * No canvas: each would be a layer of its own, composited with all others at every frame.
 */
export function Sparkline({ symbol, seen }: { symbol: string; seen: ReadonlySignal<boolean> }) {
  const shape = useSignal(NO_SHAPE);
  useEffect(() => follow(symbol, seen, shape), [symbol]);
  const part = (name: keyof Shape) => useComputed(() => shape.value[name]);
  const look = useComputed(() => `spark ${shape.value.trend}`);
  return (
    <svg class={look} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="base" d={part("base")} />
      <path d={part("course")} />
      <path class="end" d={part("end")} />
    </svg>
  );
}

function follow(symbol: string, seen: ReadonlySignal<boolean>, shape: Signal<Shape>): () => void {
  const quote = quoteOf(symbol);
  const course = courseOf(symbol);
  const draw = (): void => {
    if (seen.peek()) shape.value = shapeOf(course.prices, quote?.peek().previous_close ?? null);
  };
  const stops = [
    effect(() => {
      if (quote) course.add(Date.parse(quote.value.timestamp), quote.value.price);
      if (seen.peek()) inTurn(draw);
    }),
    effect(() => {
      if (seen.value) want(symbol);
      else unwant(symbol);
    }),
    effect(() => {
      void versionOf(symbol).value;
      if (seen.value) draw();
    }),
  ];
  return () => {
    giveUp(draw);
    unwant(symbol);
    stops.forEach((stop) => stop());
  };
}
