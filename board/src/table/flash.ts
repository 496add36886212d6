/** A cell lights up when its price changes. On and off, no fading: that would paint the table at every frame. */

const FLASH_MS = 400;
const LOOK_EVERY_MS = 100;

const still = matchMedia("(prefers-reduced-motion: reduce)");
/** The lit cells, and when each goes out. */
const lit = new Map<HTMLElement, number>();
let looking: ReturnType<typeof setInterval> | undefined;

export function flash(cell: HTMLElement, way: "up" | "down"): void {
  if (still.matches) return;
  cell.dataset["flash"] = way;
  lit.set(cell, Date.now() + FLASH_MS);
  looking ??= setInterval(putOut, LOOK_EVERY_MS);
}

function putOut(): void {
  const now = Date.now();
  for (const [cell, until] of lit) {
    if (until > now) continue;
    delete cell.dataset["flash"];
    lit.delete(cell);
  }
  if (lit.size > 0) return;
  clearInterval(looking);
  looking = undefined;
}
