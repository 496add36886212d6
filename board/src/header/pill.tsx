import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { t, word } from "../i18n/index.ts";
import { minutesOfAll } from "../label.ts";
import { noQuotesText, originText } from "../label_text.tsx";
import { connection, connectNow, now, shares, staleCount, standing } from "../store/index.ts";

/** The label of all quotes; a click or keyboard focus shows the reason. */
export function ConnectionPill() {
  const open = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  const leave = (event: FocusEvent): void => {
    if (!box.current?.contains(event.relatedTarget as Node | null)) open.value = false;
  };
  const closeOnEscape = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !open.value) return;
    open.value = false;
    event.stopPropagation();
  };
  return (
    <div class="connection" ref={box} onFocusOut={leave} onKeyDown={closeOnEscape}>
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
        {(connection.value.state === "waiting" || connection.value.state === "closed") && (
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
        <li key={`${share.origin} ${share.minutes} ${share.provider}`}>
          {originText(share)}: {share.count} ({share.provider})
        </li>
      ))}
    </ul>
  );
}

function name(): string {
  const { retryAt } = connection.value;
  if (standing.value === "reconnecting" && retryAt !== null && retryAt > now.value)
    return t("reconnectingIn", { seconds: Math.ceil((retryAt - now.value) / 1000) });
  const minutes = minutesOfAll(shares.value);
  if (standing.value === "delayed" && minutes > 0) return t("delayedBy", { minutes });
  return word("", standing.value);
}

function reason(): string {
  if (standing.value === "none") return noQuotesText();
  const minutes = minutesOfAll(shares.value);
  return word("why_", standing.value, {
    delay: minutes ? t("minutes", { count: minutes }) : t("someDelay"),
    providers: [...new Set(shares.value.map(({ provider }) => provider))].join(", "),
    reason: connection.value.reason,
  });
}
