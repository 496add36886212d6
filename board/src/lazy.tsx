/** A panel that is loaded when it is first shown. */
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { t } from "./i18n/index.ts";

type Load<P> = () => Promise<{ default: ComponentType<P> }>;

const loads: (() => void)[] = [];

/** Load all panels now: they must work while the server is away. */
export function preload(): void {
  for (const load of loads) load();
}

/** A component that stands in for the panel until it is loaded. If loading fails, a click tries again. */
export function lazy<P extends object>(load: Load<P>): ComponentType<P> {
  const loaded = signal<ComponentType<P> | "failed" | null>(null);
  let loading = false;

  function fetchIt(): void {
    if (loading || typeof loaded.peek() === "function") return;
    loading = true;
    load()
      .then((module) => (loaded.value = module.default))
      .catch(() => (loaded.value = "failed"))
      .finally(() => (loading = false));
  }

  loads.push(fetchIt);
  return (props) => {
    const Panel = loaded.value;
    if (Panel === "failed")
      return (
        <button class="quiet" onClick={fetchIt}>
          {t("panelFailed")}
        </button>
      );
    if (Panel) return <Panel {...props} />;
    fetchIt();
    return <p class="quiet">{t("loading")}</p>;
  };
}
