import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { connectNow, greeting, line, now, staleCount, standing } from "../store/index.ts";

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
        <span aria-live="polite">{word()}</span>
      </button>
      <div id="why" class="why" role="note">
        <p>{reason()}</p>
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

function word(): string {
  const { retryAt } = line.value;
  if (standing.value === "reconnecting" && retryAt !== null && retryAt > now.value)
    return t("reconnectingIn", { seconds: Math.ceil((retryAt - now.value) / 1000) });
  if (standing.value === "delayed" && greeting.value?.delay_seconds)
    return t("delayedBy", { minutes: minutes(greeting.value.delay_seconds) });
  return t(standing.value);
}

function reason(): string {
  const delay = greeting.value?.delay_seconds;
  return t(`why_${standing.value}`, {
    delay: delay ? t("minutes", { count: minutes(delay) }) : t("someDelay"),
    sources: greeting.value?.data_providers.join(", ") ?? "",
    reason: line.value.reason,
  });
}

const minutes = (seconds: number): number => Math.round(seconds / 60);
