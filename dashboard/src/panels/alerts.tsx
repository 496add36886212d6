/** The alerts: what came true lately, and a notice of what comes true now. */
import { effect, useSignal } from "@preact/signals";
import type { Alert } from "@zlotick/client";
import { useEffect } from "preact/hooks";
import { number, price, warsawTime } from "../i18n/format.ts";
import { languageTag } from "../i18n/index.ts";
import { alerts, alertsAre, askAlerts, selected } from "../store/index.ts";
import { p, word, type PanelKey } from "./strings.ts";
import "./panels.css";

const NOTICE_MS = 10_000;

export default function AlertsPanel() {
  const list = alerts.value ?? [];
  return (
    <section class="alerts" aria-labelledby="alerts">
      <h2 id="alerts">{p("alerts")}</h2>
      <Notice />
      {list.length > 0 ? (
        <ol>
          {list.map((alert) => (
            <Row key={alert.id} alert={alert} />
          ))}
        </ol>
      ) : (
        <Nothing />
      )}
    </section>
  );
}

function Row({ alert }: { alert: Alert }) {
  const { symbol, severity, origin, triggered_at } = alert;
  const day: Intl.DateTimeFormatOptions = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  return (
    <li class={severity}>
      <span class="severity">{word("severity", severity)}</span>{" "}
      <time dateTime={triggered_at}>{warsawTime(Date.parse(triggered_at), languageTag.value, day)}</time>{" "}
      <span>{sentence(alert)}</span>{" "}
      {(origin === "simulated" || origin === "replayed") && <span class={`kind ${origin}`}>{word("kind", origin)}</span>}
      {symbol && (
        <button type="button" aria-label={p("openChart", { symbol })} onClick={() => (selected.value = symbol)}>
          {symbol}
        </button>
      )}
      {alert.name && <span class="quiet"> {alert.name}</span>}
    </li>
  );
}

/** What came true, in the reader's language where the condition is a known one. */
function sentence({ condition, symbol, observed, threshold, message }: Alert): string {
  const key = `alert_${condition}`;
  if (!symbol || typeof observed !== "number" || word("alert", condition) === condition.replaceAll("_", " ")) return message;
  const tag = languageTag.value;
  const write = (value: number | null) => (condition === "volume_above" ? number(value, 0, tag) : price(value, tag));
  return p(key as PanelKey, { symbol, observed: write(observed), threshold: write(threshold) });
}

/** The newest alert for a while, for those who look and for those who listen. */
function Notice() {
  const told = useSignal<Alert | null>(null);
  useEffect(() => {
    let newest = alerts.peek()?.[0]?.id;
    let known = alerts.peek() !== null; // the first list is no news
    let timer: ReturnType<typeof setTimeout>;
    const stop = effect(() => {
      const first = alerts.value?.[0];
      if (known && first && first.id !== newest) {
        told.value = first;
        clearTimeout(timer);
        timer = setTimeout(() => (told.value = null), NOTICE_MS);
      }
      known ||= alerts.value !== null;
      newest = first?.id;
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, []);
  return (
    <p class="news" aria-live="polite">
      {told.value && p("newAlert", { message: sentence(told.value) })}
    </p>
  );
}

/** Why there is none. */
function Nothing() {
  const state = alertsAre.value;
  if (state === "unknown") return <p class="notice">{p("alertsLoading")}</p>;
  if (state === "failed")
    return (
      <p class="notice">
        {p("alertsFailed")}{" "}
        <button type="button" onClick={() => void askAlerts()}>
          {p("again")}
        </button>
      </p>
    );
  return (
    <div class="notice">
      <p>{p(state === "off" ? "alertsOff" : "alertsNone")}</p>
      <p>
        {p("alertsHow")} <code>zlotick alerts test</code>.
      </p>
    </div>
  );
}
