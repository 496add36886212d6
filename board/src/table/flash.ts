/** A cell lights up when its price changes. On and off without fading: a transition would repaint the table at every frame. */

const FLASH_MS = 400;
const CHECK_EVERY_MS = 100;

const still = matchMedia("(prefers-reduced-motion: reduce)");
/** The highlighted cells, and when each highlight ends. */
const lit = new Map<HTMLElement, number>();
let timer: ReturnType<typeof setInterval> | undefined;

export function flash(cell: HTMLElement, way: "up" | "down"): void {
  if (still.matches) return;
  cell.dataset.flash = way;
  lit.set(cell, Date.now() + FLASH_MS);
  timer ??= setInterval(switchOff, CHECK_EVERY_MS);
}

function switchOff(): void {
  const now = Date.now();
  for (const [cell, until] of lit) {
    if (until > now) continue;
    delete cell.dataset.flash;
    lit.delete(cell);
  }
  if (lit.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}
