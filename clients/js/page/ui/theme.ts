/** Light or dark: that of the system, or the one that was chosen here. */

import { byId } from "./dom.js";

const KEY = "fanin-theme";

/** Called when colours change, for pictures that have no style sheet. */
const followers = new Set<() => void>();
export const onTheme = (follower: () => void): void => void followers.add(follower);

export function followTheme(): void {
  const choice = byId<HTMLSelectElement>("theme");
  choice.value = stored();
  const apply = () => {
    if (choice.value) document.documentElement.dataset.theme = choice.value;
    else delete document.documentElement.dataset.theme;
    for (const follower of followers) follower();
  };
  choice.addEventListener("change", () => {
    try {
      localStorage.setItem(KEY, choice.value);
    } catch {
      // The browser stores nothing. The choice lasts as long as the page.
    }
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
}

function stored(): string {
  try {
    const found = localStorage.getItem(KEY);
    return found === "light" || found === "dark" ? found : "";
  } catch {
    return "";
  }
}
