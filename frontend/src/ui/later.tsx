// Lazily loaded pages, also if the server is away or has a newer version of them.
import { Component, lazy, type ComponentType, type ReactNode } from "react";
import { connection } from "../api/connection";
import { t } from "../texts";

async function fetched<T>(load: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await load();
    } catch (failure) {
      const there = await fetch("/healthz").then(
        () => true,
        () => false,
      );
      if (there) throw failure;
      connection.lost();
      await connection.back();
    }
  }
}

/** Like React's lazy(), but waits for a server that is away. */
export const later = <Props,>(load: () => Promise<{ default: ComponentType<Props> }>) => lazy(() => fetched(load));

/** Shown instead of a page that could not be loaded; offers a reload. */
export class Broken extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override render() {
    if (!this.state.broken) return this.props.children;
    return (
      <section className="page narrow">
        <h1>{t.broken.title}</h1>
        <p className="lead">{t.broken.text}</p>
        <p>
          <button type="button" className="primary" onClick={() => location.reload()}>
            {t.broken.reload}
          </button>
        </p>
      </section>
    );
  }
}
