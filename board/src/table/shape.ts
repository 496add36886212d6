/** The lines of a sparkline, as paths of an SVG. Pure. */

import { trendOf } from "../store/order.ts";
import { PLACES } from "./day_prices.ts";

export const WIDTH = 128;
export const HEIGHT = 22;
const MARGIN = 2;

export interface Shape {
  /** The prices, from place to place. */
  prices: string;
  /** The last of them: a line of no length, its round ends are a dot. */
  end: string;
  /** The previous close. */
  base: string;
  trend: "up" | "down" | "unchanged";
}

export const NO_SHAPE: Shape = { prices: "", end: "", base: "", trend: "unchanged" };

export function shapeOf(prices: readonly (number | undefined)[], previous: number | null): Shape {
  const known = prices.filter((price) => price !== undefined);
  const last = known.at(-1);
  if (last === undefined) return NO_SHAPE;
  const all = previous === null ? known : [...known, previous];
  const low = Math.min(...all);
  const spread = Math.max(...all) - low;
  const x = (place: number): string => (MARGIN + (place / (PLACES - 1)) * (WIDTH - 2 * MARGIN)).toFixed(1);
  const y = (price: number): string =>
    (spread === 0 ? HEIGHT / 2 : HEIGHT - MARGIN - ((price - low) / spread) * (HEIGHT - 2 * MARGIN)).toFixed(1);

  const points = prices.flatMap((price, place) => (price === undefined ? [] : [`${x(place)} ${y(price)}`]));
  return {
    prices: `M${points.join("L")}`,
    end: `M${points.at(-1)}h0`,
    base: previous === null ? "" : `M0 ${y(previous)}H${WIDTH}`,
    trend: trendOf(previous === null ? null : last - previous),
  };
}
