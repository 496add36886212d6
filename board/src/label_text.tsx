/** Texts that several parts of the page show. */
import { warsawDate, warsawTime } from "./i18n/format.ts";
import { languageTag, t, word } from "./i18n/index.ts";
import type { Label } from "./label.ts";
import { asOf, market, nextCycle } from "./store/index.ts";

/** The label of a quote. */
export function originText({ origin, minutes }: Label): string {
  return minutes > 0 ? t("delayedBy", { minutes }) : word("", origin);
}

/** The short label, with the provider. */
export function labelText({ origin, minutes, provider }: Label): string {
  return `${minutes > 0 ? t("short_delayedBy", { minutes }) : word("", origin)} · ${provider}`;
}

/** Why there are no quotes, and when the first are due, if that is known. */
export function noQuotesText(): string {
  const due = nextCycle.value === null ? null : Date.parse(nextCycle.value);
  if (market.value?.phase !== "closed" || due === null) return t("nothingYet");
  const tag = languageTag.value;
  const day = warsawDate(due, tag, { weekday: "short", day: "numeric", month: "long" });
  const time = warsawTime(due, tag, { hour: "numeric", minute: "2-digit" });
  const atNight = due < Date.parse(market.value.next_phase_at); // asked again for the last closing prices
  return t(atNight ? "nothingTried" : "nothingUntil", { when: `${day.replace(".,", ".")}, ${time}` });
}

/** Since when the shown values are frozen; nothing while they are live. */
export function AsOf() {
  if (asOf.value === null) return null;
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;
  return <span class="as-of">{t("asOf", { time: warsawTime(asOf.value, languageTag.value, clock) })}</span>;
}
