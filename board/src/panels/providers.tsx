/** The state of the providers, the stores and the journal. */
import { signal } from "@preact/signals";
import type { ProviderRow, StatusReport } from "@zlotick/client";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { number, span, UNKNOWN, warsawTime } from "../i18n/format.ts";
import { languageTag } from "../i18n/index.ts";
import { AsOf } from "../label_text.tsx";
import { api, asOf, connection, providers, takeProviders } from "../store/index.ts";
import { type PanelKey, p, word } from "./strings.ts";
import "./panels.css";

const ASK_EVERY_MS = 15_000;

/** null: unknown yet. */
const report = signal<StatusReport | null>(null);
const failed = signal(false);
/** How far the server's clock is ahead of ours, in ms: ages are computed with its clock. */
let ahead = 0;

async function ask(): Promise<void> {
  if (document.hidden) return;
  try {
    const answer = await api<StatusReport>("/status");
    ahead = Date.parse(answer.timestamp) - Date.now();
    takeProviders(answer);
    report.value = answer;
    failed.value = false;
  } catch {
    failed.value = true;
  }
}

export default function ProvidersPanel() {
  const { state } = connection.value;
  useEffect(() => {
    void ask();
    const timer = setInterval(() => void ask(), ASK_EVERY_MS);
    return () => clearInterval(timer);
  }, [state]);
  return (
    <section class="providers" aria-labelledby="providers">
      <h2 id="providers">
        {p("providers")} <AsOf />
      </h2>
      {providers.value.length === 0 && <p class="notice">{p("noProviders")}</p>}
      <ol>
        {providers.value.map((row) => (
          <Row key={row.name} row={row} />
        ))}
      </ol>
      {failed.value && asOf.value === null && <p class="notice">{p("noStatus")}</p>}
      {report.value && <Stores report={report.value} />}
    </section>
  );
}

function Row({ row }: { row: ProviderRow }) {
  const { refusal_reason: reason, refusal_detail: detail, next_attempt: next, budget_left: left } = row;
  const tag = languageTag.value;
  return (
    <li>
      <p>
        <b>{row.name}</b> <Kind row={row} /> <State status={row.status === "disconnected" ? "not_asked" : row.status} />
      </p>
      {reason && <p title={detail ?? undefined}>{word("refused", reason)}</p>}
      <dl>
        <Fact name="symbols">{number(row.symbols, 0, tag)}</Fact>
        <Fact name="lastSuccess">
          <Moment at={row.last_success} />
        </Fact>
        {next && (
          <Fact name="nextAttempt">
            <Moment at={next} />
          </Fact>
        )}
        {left !== null && <Fact name="budgetLeft">{number(left, 0, tag)}</Fact>}
      </dl>
    </li>
  );
}

function Fact({ name, children }: { name: PanelKey; children: ComponentChildren }) {
  return (
    <div>
      <dt>{p(name)}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Kind({ row }: { row: ProviderRow }) {
  const minutes = Math.round((row.delay_seconds ?? 0) / 60);
  const late = row.kind === "delayed" && minutes > 0;
  return <span class="muted">{late ? p("delayedBy", { minutes }) : word("kind", row.kind)}</span>;
}

function State({ status }: { status: string }) {
  return <span class={`state ${status}`}>{word("status", status)}</span>;
}

/** How long ago, or until then; the moment itself is in the title. */
function Moment({ at }: { at: string | null }) {
  if (!at) return <>{UNKNOWN}</>;
  const left = Date.parse(at) - (asOf.value ?? Date.now()) - ahead;
  const exactly = warsawTime(Date.parse(at), languageTag.value, { dateStyle: "medium", timeStyle: "medium" });
  return (
    <time dateTime={at} title={exactly}>
      {left >= 1000 ? p("within", { span: span(left) }) : p("ago", { span: span(-left) })}
    </time>
  );
}

function Stores({ report }: { report: StatusReport }) {
  const { journal, questdb_status, pocketbase_status } = report;
  const tag = languageTag.value;
  const stores = [
    ["QuestDB", questdb_status, journal?.lag.questdb],
    ["PocketBase", pocketbase_status, journal?.lag.pocketbase],
  ] as const;
  return (
    <>
      <h2>{p("stores")}</h2>
      <ol>
        {stores.map(([name, status, lag]) => (
          <li key={name}>
            <b>{name}</b> <State status={status} />{" "}
            {lag !== undefined && (
              <span class="muted">{lag ? p("lag", { count: number(lag, 0, tag) }) : p("upToDate")}</span>
            )}
          </li>
        ))}
        <li>
          <b>{p("journal")}</b>{" "}
          <span class="muted">
            {journal ? p("entries", { count: number(journal.entries, 0, tag) }) : p("journalSilent")}
          </span>
        </li>
      </ol>
    </>
  );
}
