import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app.tsx";
import { languageTag, t } from "./i18n/index.ts";
import { followKeyboard } from "./keyboard.ts";
import { preload } from "./lazy.tsx";
import { asOf, start } from "./store/index.ts";
import { followTheme } from "./theme.ts";
import "./style/index.css";

effect(() => {
  document.documentElement.lang = languageTag.value;
  document.title = `zlotick · ${t("title")}`;
});
effect(() => {
  document.documentElement.toggleAttribute("data-held", asOf.value !== null);
});
followTheme();
followKeyboard();
start();
render(<App />, document.getElementById("board") as HTMLElement);

const IDLE_AFTER_MS = 3_000;
// Safari has no requestIdleCallback
addEventListener("load", () => setTimeout(() => (window.requestIdleCallback ?? setTimeout)(preload), IDLE_AFTER_MS));
