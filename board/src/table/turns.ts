/** Who waits to draw: a few at a time, so that no frame has to draw them all. */

const EVERY_MS = 200;
const AT_ONCE = 2;

const waiting = new Set<() => void>();
let turning: ReturnType<typeof setInterval> | undefined;

/** Draw when it is its turn. Asked twice, it is drawn once. */
export function inTurn(draw: () => void): void {
  waiting.add(draw);
  turning ??= setInterval(turn, EVERY_MS);
}

export function giveUp(draw: () => void): void {
  waiting.delete(draw);
}

function turn(): void {
  for (const draw of [...waiting].slice(0, AT_ONCE)) {
    waiting.delete(draw);
    draw();
  }
  if (waiting.size > 0) return;
  clearInterval(turning);
  turning = undefined;
}
