import { t } from "../i18n/index.ts";
import { asideOpen, helpOpen, locale, type Theme, theme } from "../store/index.ts";
import { BreadthBar, Movers } from "./breadth_bar.tsx";
import { MarketBadge } from "./market_badge.tsx";
import { ConnectionPill } from "./pill.tsx";

export function Header() {
  return (
    <header>
      <div class="bar">
        <h1>
          <span class="brand">zlotick</span> <span class="index">sWIG80</span>
        </h1>
        <MarketBadge />
        <ConnectionPill />
        <Controls />
      </div>
      <div class="glance">
        <BreadthBar />
        <Movers />
      </div>
    </header>
  );
}

const NEXT: Readonly<Record<Theme, Theme>> = { system: "light", light: "dark", dark: "system" };
const MARK: Readonly<Record<Theme, string>> = { system: "◐", light: "○", dark: "●" };

function Controls() {
  const themeWords = t("theme", { theme: t(`theme_${theme.value}`) });
  const other = locale.value === "pl" ? "en" : "pl";
  return (
    <div class="controls">
      <button
        type="button"
        lang={other}
        aria-label={`${other.toUpperCase()}: ${t("language")}`}
        title={t("language")}
        onClick={() => locale.change(() => other)}
      >
        {other.toUpperCase()}
      </button>
      <button
        type="button"
        aria-label={themeWords}
        title={themeWords}
        onClick={() => theme.change(() => NEXT[theme.value])}
      >
        {MARK[theme.value]}
      </button>
      <button type="button" aria-label={t("help")} title={`${t("help")} (?)`} onClick={() => (helpOpen.value = true)}>
        ?
      </button>
      <button
        type="button"
        class="more"
        aria-expanded={asideOpen.value}
        aria-label={t("more")}
        title={t("more")}
        onClick={() => (asideOpen.value = !asideOpen.value)}
      >
        ☰
      </button>
    </div>
  );
}
