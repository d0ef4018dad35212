// The color scheme: light, dark, or that of the system. Stored in the browser.
import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";
const ORDER: Theme[] = ["system", "light", "dark"];
const KEY = "sluice.theme";
const listeners = new Set<() => void>();

function stored(): Theme {
  const found = localStorage.getItem(KEY);
  return ORDER.find((theme) => theme === found) ?? "system";
}

export function applyTheme(): void {
  document.documentElement.dataset.theme = stored();
}

export function nextTheme(): void {
  localStorage.setItem(KEY, ORDER[(ORDER.indexOf(stored()) + 1) % ORDER.length] ?? "system");
  applyTheme();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", listener);
  return () => {
    listeners.delete(listener);
    system.removeEventListener("change", listener);
  };
}

export const useTheme = (): Theme => useSyncExternalStore(subscribe, stored);

/** Changes with the colours; for drawings that style sheets do not reach. */
export const useColours = (): string =>
  useSyncExternalStore(subscribe, () => `${stored()} ${matchMedia("(prefers-color-scheme: dark)").matches}`);
