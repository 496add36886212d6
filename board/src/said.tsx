/** Sentences of more than one part of the page. */
import { warsawDate, warsawTime } from "./i18n/format.ts";
import { languageTag, t, word } from "./i18n/index.ts";
import type { Label } from "./label.ts";
import { asOf, market, nextCycle } from "./store/index.ts";

/** What a quote may be called. */
export function originSaid({ origin, minutes }: Label): string {
  return minutes > 0 ? t("delayedBy", { minutes }) : word("", origin);
}

/** The same where there is little room, with its source. */
export function labelSaid({ origin, minutes, source }: Label): string {
  return `${minutes > 0 ? t("short_delayedBy", { minutes }) : word("", origin)} · ${source}`;
}

/** Why there are no quotes, and when the first are due where that is known. */
export function noQuotesSaid(): string {
  const due = nextCycle.value === null ? null : Date.parse(nextCycle.value);
  if (market.value?.phase !== "closed" || due === null) return t("nothingYet");
  const tag = languageTag.value;
  const day = warsawDate(due, tag, { weekday: "short", day: "numeric", month: "long" });
  const time = warsawTime(due, tag, { hour: "numeric", minute: "2-digit" });
  const atNight = due < Date.parse(market.value.next_phase_at); // asked again for the last closing prices
  return t(atNight ? "nothingTried" : "nothingUntil", { when: `${day.replace(".,", ".")}, ${time}` });
}

/** Since when what is shown stands still; nothing while it does not. */
export function AsOf() {
  if (asOf.value === null) return null;
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;
  return <span class="as-of">{t("asOf", { time: warsawTime(asOf.value, languageTag.value, clock) })}</span>;
}
