import { signal } from "@preact/signals";
import { t } from "../i18n/index.ts";
import { breadth, filter, rows, search, symbols, watchList } from "../store/index.ts";
import type { Filter } from "../store/order.ts";
import { focusRow } from "./table.tsx";

/** Whether there may be keys to press: not on a phone. */
const query = matchMedia("(min-width: 641px) and (hover: hover)");
const keys = signal(query.matches);
query.addEventListener("change", ({ matches }) => (keys.value = matches));

export const FILTERS: readonly Filter[] = ["all", "watched", "up", "down"];

/** Search and filter, above the table. */
export function Toolbar() {
  const values = { shown: rows.value.length, all: symbols.value.length };
  return (
    <div class="toolbar">
      <input
        id="search"
        type="search"
        value={search.value}
        placeholder={keys.value ? `${t("searchHint")}  /` : t("searchHint")}
        aria-label={t("search")}
        autocomplete="off"
        spellcheck={false}
        onInput={({ currentTarget }) => (search.value = currentTarget.value)}
        onKeyDown={intoTable}
      />
      <div class="segments" role="group" aria-label={t("filter")}>
        {FILTERS.map((one) => (
          <button key={one} type="button" aria-pressed={filter.value === one} onClick={() => (filter.value = one)}>
            {t(one)} <small>{count(one)}</small>
          </button>
        ))}
      </div>
      <output class="muted">{t("shown", values)}</output>
    </div>
  );
}

function count(one: Filter): number {
  if (one === "all") return symbols.value.length;
  return one === "watched" ? watchList.value.length : breadth.value[one];
}

function intoTable(event: KeyboardEvent): void {
  if (event.key !== "ArrowDown" && event.key !== "Enter") return;
  event.preventDefault();
  focusRow(0);
}
