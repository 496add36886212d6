import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app.tsx";
import { languageTag, t } from "./i18n/index.ts";
import { followKeyboard } from "./keyboard.ts";
import { start } from "./store/index.ts";
import { followTheme } from "./theme.ts";
import "./style/index.css";

effect(() => {
  document.documentElement.lang = languageTag.value;
  document.title = `zlotick · ${t("title")}`;
});
followTheme();
followKeyboard();
start();
render(<App />, document.getElementById("board") as HTMLElement);
