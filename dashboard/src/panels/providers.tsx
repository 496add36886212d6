/** How the sources, the stores and the journal are. */
import { signal } from "@preact/signals";
import type { ProviderRow, StatusReport } from "@zlotick/client";
import { useEffect } from "preact/hooks";
import { number, span, UNKNOWN, warsawTime } from "../i18n/format.ts";
import { languageTag } from "../i18n/index.ts";
import { api, line, providers } from "../store/index.ts";
import { p, word } from "./strings.ts";
import "./panels.css";

const ASK_EVERY_MS = 15_000;

/** null: not told yet. */
const report = signal<StatusReport | null>(null);
const failed = signal(false);
/** How far the server's clock is ahead of ours, in ms: ages are of its clock. */
let ahead = 0;

async function ask(): Promise<void> {
  if (document.hidden) return;
  try {
    const told = await api<StatusReport>("/status");
    ahead = Date.parse(told.timestamp) - Date.now();
    providers.value = told.providers;
    report.value = told;
    failed.value = false;
  } catch {
    failed.value = true;
  }
}

export default function ProvidersPanel() {
  const { state } = line.value;
  useEffect(() => {
    void ask();
    const timer = setInterval(() => void ask(), ASK_EVERY_MS);
    return () => clearInterval(timer);
  }, [state]);
  return (
    <>
      {providers.value.length ? <Scoreboard rows={providers.value} /> : <p class="notice">{p("noSources")}</p>}
      {failed.value && <p class="notice">{p("noStatus")}</p>}
      {report.value && <Stores report={report.value} />}
    </>
  );
}

function Scoreboard({ rows }: { rows: readonly ProviderRow[] }) {
  return (
    <table class="scoreboard">
      <thead>
        <tr>
          {(["source", "state", "taken", "lastSuccess", "nextAttempt", "budgetLeft"] as const).map((column) => (
            <th key={column} scope="col">
              {p(column)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <Row key={row.name} row={row} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ row }: { row: ProviderRow }) {
  const tag = languageTag.value;
  const { refusal_reason: reason, refusal_detail: detail } = row;
  return (
    <tr>
      <th scope="row">
        {row.name} <Kind row={row} />
      </th>
      <td data-label={p("state")}>
        <State status={row.status} />
        {reason && <p title={detail ?? undefined}>{word("refused", reason)}</p>}
      </td>
      <td data-label={p("taken")}>{number(row.symbols, 0, tag)}</td>
      <td data-label={p("lastSuccess")}>
        <Moment at={row.last_success} />
      </td>
      <td data-label={p("nextAttempt")}>
        <Moment at={row.next_attempt} />
      </td>
      <td data-label={p("budgetLeft")}>{number(row.budget_left, 0, tag)}</td>
    </tr>
  );
}

function Kind({ row }: { row: ProviderRow }) {
  const minutes = Math.round((row.delay_seconds ?? 0) / 60);
  const late = minutes > 0 ? `, ${p("lateBy", { minutes })}` : "";
  return <span class={`kind ${row.kind}`}>{word("kind", row.kind) + late}</span>;
}

function State({ status }: { status: string }) {
  return <span class={`state ${status}`}>{word("status", status)}</span>;
}

/** How long ago, or until then; the moment itself is in the title. */
function Moment({ at }: { at: string | null }) {
  if (!at) return <>{UNKNOWN}</>;
  const left = Date.parse(at) - Date.now() - ahead;
  const exactly = warsawTime(Date.parse(at), languageTag.value, { dateStyle: "medium", timeStyle: "medium" });
  return (
    <time dateTime={at} title={exactly}>
      {left > 0 ? p("within", { span: span(left) }) : p("ago", { span: span(-left) })}
    </time>
  );
}

function Stores({ report }: { report: StatusReport }) {
  const { journal, questdb_status, pocketbase_status } = report;
  const tag = languageTag.value;
  const stores = [
    ["QuestDB", questdb_status, journal?.lag["questdb"]],
    ["PocketBase", pocketbase_status, journal?.lag["pocketbase"]],
  ] as const;
  return (
    <>
      <h3>{p("stores")}</h3>
      <dl class="stores">
        {stores.map(([name, status, lag]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <State status={status} />
              {lag !== undefined && ` · ${lag ? p("lag", { count: number(lag, 0, tag) }) : p("upToDate")}`}
            </dd>
          </div>
        ))}
        <div>
          <dt>{p("journal")}</dt>
          <dd>{journal ? p("entries", { count: number(journal.entries, 0, tag) }) : p("journalSilent")}</dd>
        </div>
      </dl>
    </>
  );
}
