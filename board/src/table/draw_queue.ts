/** What waits to be drawn: a few at a time, so that no frame draws all of them. */

const EVERY_MS = 200;
const AT_ONCE = 2;

const waiting = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** Draw later. Requested twice, it is drawn once. */
export function drawLater(draw: () => void): void {
  waiting.add(draw);
  timer ??= setInterval(turn, EVERY_MS);
}

/** Do not draw it any more. */
export function cancelDraw(draw: () => void): void {
  waiting.delete(draw);
}

function turn(): void {
  for (const draw of [...waiting].slice(0, AT_ONCE)) {
    waiting.delete(draw);
    draw();
  }
  if (waiting.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}
