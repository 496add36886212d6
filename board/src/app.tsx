import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Details } from "./detail/details.tsx";
import { Help } from "./dialog/help.tsx";
import { TokenDialog } from "./dialog/token.tsx";
import { Header } from "./header/header.tsx";
import { t } from "./i18n/index.ts";
import { lazy } from "./lazy.tsx";
import AlertNotice from "./panels/notice.tsx";
import { asideOpen, helpOpen, selected, tokenNeeded } from "./store/index.ts";
import { QuoteTable } from "./table/table.tsx";
import { Toolbar } from "./table/toolbar.tsx";

const ProvidersPanel = lazy(() => import("./panels/providers.tsx"));
const AlertsPanel = lazy(() => import("./panels/alerts.tsx"));

/** Whether the page is too narrow for anything beside the table: as in style/aside.css. */
const query = matchMedia("(max-width: 1100px)");
const narrow = signal(query.matches);
query.addEventListener("change", ({ matches }) => (narrow.value = matches));

export function App() {
  const open = selected.value !== null || asideOpen.value;
  const covered = open && narrow.value;
  return (
    <>
      <Header />
      <main>
        <section class="quotes" aria-label={t("title")} inert={covered}>
          <Toolbar />
          <QuoteTable />
        </section>
        {(open || !narrow.value) && <Aside covers={covered} />}
      </main>
      <AlertNotice />
      {tokenNeeded.value && <TokenDialog />}
      {helpOpen.value && <Help />}
    </>
  );
}

/** Beside the table, or over it where there is no room; then it takes the keyboard. */
function Aside({ covers }: { covers: boolean }) {
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    if (covers) box.current?.querySelector<HTMLElement>(".close")?.focus();
  }, [covers]);
  return (
    <aside ref={box} aria-label={t("more")}>
      {selected.value !== null && <Details symbol={selected.value} />}
      {selected.value === null && covers && (
        <button type="button" class="close" aria-label={t("close")} onClick={() => (asideOpen.value = false)}>
          ✕
        </button>
      )}
      <div class="panel">
        <AlertsPanel />
      </div>
      <div class="panel">
        <ProvidersPanel />
      </div>
    </aside>
  );
}
