import { useEffect, useRef } from "preact/hooks";
import { type Key, t } from "../i18n/index.ts";
import { greeting, helpOpen } from "../store/index.ts";

const KEYS: readonly [string[], Key][] = [
  [["↑", "↓"], "keyMove"],
  [["Enter"], "keyOpen"],
  [["Esc"], "keyClose"],
  [["/"], "keySearch"],
  [["w"], "keyWatch"],
  [["1", "2", "3", "4"], "keyFilter"],
  [["?"], "keyHelp"],
];

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-labelledby="help" onClose={() => (helpOpen.value = false)}>
      <h2 id="help">{t("help")}</h2>
      <dl class="keys">
        {KEYS.map(([keys, meaning]) => (
          <div key={meaning}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{t(meaning)}</dd>
          </div>
        ))}
      </dl>
      <p class="muted">{t("notForRedistribution")}</p>
      <p class="muted">
        zlotick {greeting.value?.server.version} · <a href="assets/licenses.md">{t("licences")}</a>
      </p>
      <button type="button" autofocus onClick={() => dialog.current?.close()}>
        {t("close")}
      </button>
    </dialog>
  );
}
