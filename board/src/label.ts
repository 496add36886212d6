/** What a quote may be called. The label is its own: quotes of one board may be of several kinds. Pure. */
import type { Quote } from "@zlotick/client";

export interface Label {
  /** live, delayed, end_of_day, replayed or simulated; a newer server may know others. */
  origin: string;
  /** How far the source runs behind the exchange; 0: not at all, or it does not say. */
  minutes: number;
  source: string;
}

/** Quotes with the same label. */
export interface Share extends Label {
  count: number;
}

/** `service` is the word of the whole service, for quotes of a server or journal that is too old to tell their own. */
export function labelOf(quote: Quote, service: string): Label {
  const minutes = Math.round((quote.delay_seconds ?? 0) / 60);
  const origin = quote.origin ?? (service === "live" && minutes > 0 ? "delayed" : service);
  return { origin, minutes: origin === "delayed" ? minutes : 0, source: quote.data_source };
}

/** The labels and how many quotes have each, the most frequent first. */
export function sharesOf(labels: Iterable<Label>): Share[] {
  const shares = new Map<string, Share>();
  for (const label of labels) {
    const key = `${label.origin} ${label.minutes} ${label.source}`;
    const share = shares.get(key);
    if (share) share.count++;
    else shares.set(key, { ...label, count: 1 });
  }
  return [...shares.values()].sort((a, b) => b.count - a.count);
}

/** The one origin of all of them, or `mixed`; null: there are none. */
export function originOfAll(shares: readonly Share[]): string | null {
  const [first, ...others] = shares;
  if (!first) return null;
  return others.every(({ origin }) => origin === first.origin) ? first.origin : "mixed";
}

/** The delay of all of them in minutes; 0 where it differs, or is not known. */
export function minutesOfAll(shares: readonly Share[]): number {
  const [first, ...others] = shares;
  return first && others.every(({ minutes }) => minutes === first.minutes) ? first.minutes : 0;
}
