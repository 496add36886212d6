/** Light or dark: the reader's choice, else the system's. The style sheet reads `data-theme`. */
import { computed, effect, signal } from "@preact/signals";
import { theme } from "./store/preferences.ts";

const system = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(system.matches);
system.addEventListener("change", ({ matches }) => (systemIsDark.value = matches));

/** The theme in use. Code that draws on a canvas reads it, then the colours of the style sheet. */
export const shownTheme = computed<"light" | "dark">(() =>
  theme.value === "system" ? (systemIsDark.value ? "dark" : "light") : theme.value,
);

export function followTheme(): void {
  effect(() => {
    document.documentElement.dataset.theme = shownTheme.value;
  });
}
