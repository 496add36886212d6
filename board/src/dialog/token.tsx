import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n/index.ts";
import { keepToken, open, tokenRejected } from "../store/index.ts";

/** Asks for the token of a server that requires one. */
export function TokenDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const enter = (event: Event): void => {
    event.preventDefault();
    const given = field.current?.value.trim();
    if (!given) return;
    keepToken(given);
    open();
  };
  return (
    <dialog ref={dialog} aria-labelledby="token-title" onCancel={(event) => event.preventDefault()}>
      <form onSubmit={enter}>
        <h2 id="token-title">{t("tokenTitle")}</h2>
        {tokenRejected.value && <p class="warning">{t("tokenRejected")}</p>}
        <label>
          {t("token")}
          <input ref={field} type="password" autocomplete="off" required autofocus />
        </label>
        <p class="muted">{t("tokenHint")}</p>
        <button type="submit">{t("enter")}</button>
      </form>
    </dialog>
  );
}
