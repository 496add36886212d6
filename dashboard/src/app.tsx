import { Details } from "./detail/details.tsx";
import { Help } from "./dialog/help.tsx";
import { TokenDialog } from "./dialog/token.tsx";
import { Header } from "./header/header.tsx";
import { t } from "./i18n/index.ts";
import { slot } from "./slot.tsx";
import { asideOpen, helpOpen, selected, tokenNeeded } from "./store/index.ts";
import { QuoteTable } from "./table/table.tsx";
import { Toolbar } from "./table/toolbar.tsx";

const ProvidersPanel = slot(() => import("./panels/providers.tsx"));
const AlertsPanel = slot(() => import("./panels/alerts.tsx"));

export function App() {
  return (
    <>
      <Header />
      <main>
        <section class="quotes" aria-label={t("title")}>
          <Toolbar />
          <QuoteTable />
        </section>
        <Aside />
      </main>
      {tokenNeeded.value && <TokenDialog />}
      {helpOpen.value && <Help />}
    </>
  );
}

/** Beside the table, or over it where there is no room. */
function Aside() {
  const open = selected.value !== null || asideOpen.value;
  return (
    <aside class={open ? "open" : ""} aria-label={t("more")}>
      {selected.value !== null && <Details symbol={selected.value} />}
      <section class="panel" aria-label={t("alerts")}>
        <h2>{t("alerts")}</h2>
        <AlertsPanel />
      </section>
      <section class="panel" aria-label={t("providers")}>
        <h2>{t("providers")}</h2>
        <ProvidersPanel />
      </section>
      {selected.value === null && (
        <button type="button" class="closeAside" aria-label={t("close")} onClick={() => (asideOpen.value = false)}>
          ✕
        </button>
      )}
    </aside>
  );
}
