/** The recent alerts. */
import type { Alert } from "@zlotick/client";
import { warsawDate } from "../i18n/format.ts";
import { languageTag } from "../i18n/index.ts";
import { AsOf } from "../label_text.tsx";
import { alerts, alertsAre, askAlerts, selected } from "../store/index.ts";
import { sentence } from "./sentence.ts";
import { p, word } from "./strings.ts";
import "./panels.css";

const example = (): string => `[[alerts.rules]]
name = "${p("alertsExample")}"
symbols = ["ACG"]
condition = "price_above"
threshold = 32.5`;

export default function AlertsPanel() {
  const list = alerts.value ?? [];
  return (
    <section class="alerts" aria-labelledby="alerts">
      <h2 id="alerts">
        {p("alerts")} <AsOf />
      </h2>
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
    <li data-severity={severity}>
      <p class="muted">
        <span class="severity">{word("severity", severity)}</span>
        <time dateTime={triggered_at}>{warsawDate(Date.parse(triggered_at), languageTag.value, day)}</time>
        {origin !== "live" && <span>{word("kind", origin)}</span>}
      </p>
      <p>{sentence(alert)}</p>
      <p class="muted">
        <span>{alert.name}</span>
        {symbol && (
          <button type="button" aria-label={p("openChart", { symbol })} onClick={() => (selected.value = symbol)}>
            {symbol} →
          </button>
        )}
      </p>
    </li>
  );
}

/** Why there are no alerts. */
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
      <p>{p("alertsHow", { file: "zlotick.toml", command: "zlotick alerts test" })}</p>
      <pre>{example()}</pre>
    </div>
  );
}
