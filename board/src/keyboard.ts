/** The keys that work everywhere on the page. */
import { active, asideOpen, filter, helpOpen, search, selected, toggleWatched } from "./store/index.ts";
import { FILTERS } from "./table/toolbar.tsx";

export function followKeyboard(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || helpOpen.peek()) return;
    if (event.key === "Escape") return closeOne();
    if (event.target instanceof HTMLInputElement) return;
    const chosen = FILTERS[Number(event.key) - 1];
    if (event.key === "/") searchBox()?.focus();
    else if (event.key === "?") helpOpen.value = true;
    else if (event.key === "w") watchCurrent();
    else if (event.key === "ArrowDown" && event.target === document.body) reachableRow()?.focus();
    else if (chosen) filter.value = chosen;
    else return;
    event.preventDefault();
  });
}

const searchBox = (): HTMLInputElement | null => document.querySelector("#search");

/** The row that Tab reaches. */
const reachableRow = (): HTMLElement | null => document.querySelector("tr[tabindex='0']");

function watchCurrent(): void {
  const symbol = active.value ?? selected.value;
  if (symbol !== null) toggleWatched(symbol);
}

/** What was opened last goes first. */
function closeOne(): void {
  if (document.activeElement === searchBox() || (search.value && selected.value === null)) {
    search.value = "";
    searchBox()?.blur();
  } else if (selected.value !== null) closeDetails();
  else asideOpen.value = false;
}

/** Close the details; the keyboard goes back to their row. */
export function closeDetails(): void {
  const symbol = selected.value;
  selected.value = null;
  asideOpen.value = false;
  // after the table is rendered again: on a narrow page the details covered it
  requestAnimationFrame(() => document.querySelector<HTMLElement>(`tr[data-symbol="${symbol}"]`)?.focus());
}
