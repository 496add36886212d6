import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { t, word } from "../i18n/index.ts";
import { minutesOfAll } from "../label.ts";
import { noQuotesSaid, originSaid } from "../said.tsx";
import { connectNow, line, now, shares, staleCount, standing } from "../store/index.ts";

/** What the quotes may be called, in one word; a click or the keyboard's focus tells why. */
export function ConnectionPill() {
  const open = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  const leave = (event: FocusEvent): void => {
    if (!box.current?.contains(event.relatedTarget as Node | null)) open.value = false;
  };
  const escape = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !open.value) return;
    open.value = false;
    event.stopPropagation();
  };
  return (
    <div class="connection" ref={box} onFocusOut={leave} onKeyDown={escape}>
      <button
        type="button"
        class={`pill ${standing.value}`}
        aria-expanded={open.value}
        aria-describedby="why"
        onFocus={({ currentTarget }) => (open.value ||= currentTarget.matches(":focus-visible"))}
        onClick={() => (open.value = !open.value)}
      >
        <i aria-hidden="true" />
        <span aria-live="polite">{name()}</span>
      </button>
      <div id="why" class="why" role="note">
        <p>{reason()}</p>
        {standing.value === "mixed" && <Shares />}
        {staleCount.value > 0 && <p>{t("someStale", { count: staleCount.value })}</p>}
        {(line.value.state === "waiting" || line.value.state === "closed") && (
          <button type="button" onClick={connectNow}>
            {t("reconnectNow")}
          </button>
        )}
      </div>
    </div>
  );
}

function Shares() {
  return (
    <ul>
      {shares.value.map((share) => (
        <li key={`${share.origin} ${share.minutes} ${share.source}`}>
          {originSaid(share)}: {share.count} ({share.source})
        </li>
      ))}
    </ul>
  );
}

function name(): string {
  const { retryAt } = line.value;
  if (standing.value === "reconnecting" && retryAt !== null && retryAt > now.value)
    return t("reconnectingIn", { seconds: Math.ceil((retryAt - now.value) / 1000) });
  const minutes = minutesOfAll(shares.value);
  if (standing.value === "delayed" && minutes > 0) return t("delayedBy", { minutes });
  return word("", standing.value);
}

function reason(): string {
  if (standing.value === "none") return noQuotesSaid();
  const minutes = minutesOfAll(shares.value);
  return word("why_", standing.value, {
    delay: minutes ? t("minutes", { count: minutes }) : t("someDelay"),
    sources: [...new Set(shares.value.map(({ source }) => source))].join(", "),
    reason: line.value.reason,
  });
}
