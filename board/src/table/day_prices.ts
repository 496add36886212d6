/** The prices of one stock over a session, one for each five minutes: what a sparkline shows. Pure. */
import { warsaw } from "../warsaw.ts";

const OPENS = 9 * 60;
const CLOSES = 17 * 60 + 5;
const STEP = 5;
/** How many places a session has. */
export const PLACES = (CLOSES - OPENS) / STEP + 1;

export class DayPrices {
  #day = Number.NaN;
  #prices: (number | undefined)[] = [];

  /** The last price of each five minutes, with gaps. */
  get values(): readonly (number | undefined)[] {
    return this.#prices;
  }

  /** A trade. A later one of the same five minutes stands; one of another session starts again. */
  add(moment: number, price: number): void {
    const { day, minute } = warsaw(moment);
    if (day < this.#day) return;
    if (day > this.#day || Number.isNaN(this.#day)) {
      this.#day = day;
      this.#prices = [];
    }
    this.#prices[place(minute)] = price;
    this.#prices.length = place(minute) + 1; // time goes back only where a replay begins again
  }

  /** What is stored of the session until the last trade seen: only where nothing was seen. */
  fill(stored: Iterable<{ moment: number; price: number }>): void {
    for (const { moment, price } of stored) {
      const { day, minute } = warsaw(moment);
      if (day === this.#day && place(minute) < this.#prices.length) this.#prices[place(minute)] ??= price;
    }
  }
}

function place(minute: number): number {
  return Math.floor((Math.min(CLOSES, Math.max(OPENS, minute)) - OPENS) / STEP);
}
