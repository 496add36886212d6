import { useEffect } from "preact/hooks";
import { type Key, t } from "../i18n/index.ts";
import { noQuotesText } from "../label_text.tsx";
import { active, complete, filter, rows, search, selected, sort, symbols } from "../store/index.ts";
import { type Column, nextSort } from "../store/order.ts";
import { Row } from "./row.tsx";

const COLUMNS: readonly { column: Column; label: Key; class: string }[] = [
  { column: "symbol", label: "symbol", class: "stock" },
  { column: "price", label: "price", class: "number last" },
  { column: "change", label: "change", class: "number change" },
  { column: "change_percent", label: "change_percent", class: "number percent" },
  { column: "volume", label: "volume", class: "number volume" },
  { column: "range", label: "range", class: "range" },
];

export function QuoteTable() {
  const shown = rows.value;
  useEffect(() => {
    // Tab always reaches one row
    if (active.value === null || !shown.includes(active.value)) active.value = shown[0] ?? null;
  }, [shown]);
  return (
    <div class="scroll">
      <table role="grid" aria-rowcount={shown.length + 1} aria-label={t("title")}>
        <thead role="rowgroup">
          <tr role="row">
            <td role="gridcell" class="star" />
            {COLUMNS.map((one) => (
              <Heading key={one.column} {...one} />
            ))}
            <th role="columnheader" scope="col" class="day">
              {t("day")}
            </th>
            <Heading column="age" label="age" class="number age" />
            <th role="columnheader" scope="col" class="provider">
              {t("provider")}
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup" onKeyDown={moveFocus}>
          {shown.map((symbol, index) => (
            <Row key={symbol} symbol={symbol} index={index} />
          ))}
        </tbody>
      </table>
      {shown.length === 0 && <p class="quiet">{whyEmpty()}</p>}
    </div>
  );
}

function whyEmpty(): string {
  if (symbols.value.length === 0) return complete.value ? noQuotesText() : t("loading");
  return t(filter.value === "watched" && !search.value ? "nothingWatched" : "nothingShown");
}

function Heading({ column, label, class: name }: { column: Column; label: Key; class: string }) {
  const mine = sort.value.column === column;
  const way = sort.value.descending ? "descending" : "ascending";
  return (
    <th role="columnheader" scope="col" class={name} aria-sort={mine ? way : "none"}>
      <button type="button" onClick={() => (sort.value = nextSort(sort.value, column))}>
        {t(label)}
      </button>
    </th>
  );
}

const PAGE = 10;
const STEPS: Readonly<Record<string, number>> = {
  ArrowDown: 1,
  ArrowUp: -1,
  PageDown: PAGE,
  PageUp: -PAGE,
  Home: -Infinity,
  End: Infinity,
};

/** Arrows move from row to row; open details follow. */
function moveFocus(event: KeyboardEvent): void {
  const step = STEPS[event.key];
  const at = rows.value.indexOf(active.value ?? "");
  if (event.key === "Enter" && event.target instanceof HTMLTableRowElement) {
    event.preventDefault();
    selected.value = active.value;
  } else if (step !== undefined && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    focusRow(Math.min(rows.value.length - 1, Math.max(0, at + step)));
    if (selected.value !== null) selected.value = active.value;
  }
}

/** Focus a row. */
export function focusRow(index: number): void {
  const symbol = rows.value[index];
  if (symbol === undefined) return;
  active.value = symbol;
  document.querySelector<HTMLElement>(`tr[data-symbol="${symbol}"]`)?.focus();
}
