import { countdown, warsawDate, warsawTime } from "../i18n/format.ts";
import { type Key, languageTag, t } from "../i18n/index.ts";
import { AsOf } from "../label_text.tsx";
import { asOf, market, marketTime, untilPhase } from "../store/index.ts";

/** The phase of the market, its clock, and what comes next. */
export function MarketBadge() {
  const now = market.value;
  if (!now) return <div class="market" aria-label={t("market")} />;
  return (
    <div class="market" role="group" aria-label={t("market")}>
      <strong class={`phase ${now.status}`}>{phaseName(now.phase, now.status)}</strong>
      <Clock />
      {asOf.value === null ? <Countdown /> : <AsOf />}
    </div>
  );
}

/** The phase; while the exchange is closed, the status says more. */
function phaseName(phase: string, status: string): string {
  return t((phase === "closed" ? `status_${status}` : `phase_${phase}`) as Key);
}

function Clock() {
  const time = marketTime.value;
  if (time === null) return null;
  const day = warsawDate(time, languageTag.value, { weekday: "short", day: "numeric", month: "short" });
  const clock = warsawTime(time, languageTag.value, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return (
    <span class="clock">
      <time>{clock}</time> <span class="muted warsaw">{t("warsaw")}</span> <span class="muted date">{day}</span>
    </span>
  );
}

function Countdown() {
  if (!market.value || !untilPhase.value) return null; // at its end only the server can say that it is over
  const { days, clock } = countdown(untilPhase.value);
  const left = days ? `${t("days", { count: days })} ${clock}` : clock;
  return <span class="countdown muted">{t(`next_${market.value.next_phase}` as Key, { left })}</span>;
}
