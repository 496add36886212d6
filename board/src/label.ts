/** The labels of quotes. Each quote has its own: the quotes of one board may have several origins. Pure. */
import type { Quote } from "@zlotick/client";

export interface Label {
  /** An Origin of the protocol; a newer server may have others. */
  origin: string;
  /** The delay behind the exchange that the provider states; 0: none, or unknown. */
  minutes: number;
  provider: string;
}

/** Quotes with the same label. */
export interface Share extends Label {
  count: number;
}

/** `service` is the origin of the whole service, for quotes of a server or journal that is too old to have their own. */
export function labelOf(quote: Quote, service: string): Label {
  const minutes = Math.round((quote.delay_seconds ?? 0) / 60);
  const origin = quote.origin ?? (service === "live" && minutes > 0 ? "delayed" : service);
  return { origin, minutes: origin === "delayed" ? minutes : 0, provider: quote.data_source };
}

/** The labels and how many quotes have each, the most frequent first. */
export function sharesOf(labels: Iterable<Label>): Share[] {
  const shares = new Map<string, Share>();
  for (const label of labels) {
    const key = `${label.origin} ${label.minutes} ${label.provider}`;
    const share = shares.get(key);
    if (share) share.count++;
    else shares.set(key, { ...label, count: 1 });
  }
  return [...shares.values()].sort((a, b) => b.count - a.count);
}

/** The common origin, or `mixed`; null: there are no labels. */
export function originOfAll(shares: readonly Share[]): string | null {
  const [first, ...others] = shares;
  if (!first) return null;
  return others.every(({ origin }) => origin === first.origin) ? first.origin : "mixed";
}

/** The common delay in minutes; 0 if it differs or is unknown. */
export function minutesOfAll(shares: readonly Share[]): number {
  const [first, ...others] = shares;
  return first && others.every(({ minutes }) => minutes === first.minutes) ? first.minutes : 0;
}
