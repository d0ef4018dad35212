// The frame of all pages, and their addresses.
import { Suspense, useEffect, useRef } from "react";
import { Link, Redirect, Route, Switch, useLocation, useSearch } from "wouter";
import { useConnection } from "./api/connection";
import { DatasourcePage, DatasourcesPage } from "./datasources/datasources_page";
import { HistoryPage } from "./tasks/history";
import { TaskPage } from "./tasks/task_page";
import { t } from "./texts";
import { nextTheme, useTheme } from "./theme";
import { Icon, type IconName } from "./ui/icon";
import { Broken, later } from "./ui/later";
import { Loading } from "./ui/parts";
import { LoadPage } from "./upload/load_page";

const QueryPage = later(() => import("./query/query_page"));
const DashboardPage = later(() => import("./dashboard/dashboard_page"));

const PAGES: { path: string; name: string; icon: IconName }[] = [
  { path: "/", name: t.nav.load, icon: "load" },
  { path: "/tasks", name: t.nav.history, icon: "history" },
  { path: "/query", name: t.nav.query, icon: "query" },
  { path: "/datasources", name: t.nav.datasources, icon: "data" },
  { path: "/dashboard", name: t.nav.dashboard, icon: "chart" },
];

export function App() {
  const [path] = useLocation();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    // A new page starts at the top, also for keyboards and screen readers.
    if (first.current) first.current = false;
    else {
      main.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }, [path]);
  return (
    <>
      <a className="skip" href="#main">
        {t.skip}
      </a>
      <Header path={path} />
      <Lost />
      <main id="main" ref={main} tabIndex={-1}>
        <Broken key={path}>
          <Suspense fallback={<Loading />}>
            <Switch>
              <Route path="/">
                <Start />
              </Route>
              <Route path="/tasks">
                <HistoryPage />
              </Route>
              <Route path="/tasks/:id">{({ id }) => <TaskPage key={id} id={id} />}</Route>
              <Route path="/query">
                <QueryPage />
              </Route>
              <Route path="/datasources">
                <DatasourcesPage />
              </Route>
              <Route path="/datasources/:name">{({ name }) => <DatasourcePage key={name} name={decodeURIComponent(name)} />}</Route>
              <Route path="/dashboard">
                <DashboardPage />
              </Route>
              <Route>
                <Missing />
              </Route>
            </Switch>
          </Suspense>
        </Broken>
      </main>
    </>
  );
}

/** The plain form without scripts redirects here with the id of the task. */
function Start() {
  const task = new URLSearchParams(useSearch()).get("task");
  return task ? <Redirect to={`/tasks/${encodeURIComponent(task)}`} replace /> : <LoadPage />;
}

function Header({ path }: { path: string }) {
  const theme = useTheme();
  const current = (page: string) => (page === "/" ? path === "/" : path.startsWith(page));
  return (
    <header className="top">
      <div className="top-inner">
        <Link href="/" className="brand">
          <img src="/icon.svg" alt="" width="26" height="26" />
          {t.product}
        </Link>
        <nav aria-label={t.nav.label}>
          {PAGES.map(({ path: to, name, icon }) => (
            <Link key={to} href={to} aria-current={current(to) ? "page" : undefined}>
              <Icon name={icon} />
              <span>{name}</span>
            </Link>
          ))}
        </nav>
        <a className="api" href="/docs">
          {t.nav.api}
        </a>
        <button type="button" className="icon-button" onClick={nextTheme} aria-label={t.theme.next(t.theme[theme])} title={t.theme[theme]}>
          <Icon name={theme === "dark" ? "moon" : theme === "light" ? "sun" : "contrast"} />
        </button>
      </div>
    </header>
  );
}

function Lost() {
  const lost = useConnection() === "lost";
  return (
    <div role="status" className="lost-region">
      {lost && <p className="lost">{t.connectionLost}</p>}
    </div>
  );
}

function Missing() {
  return (
    <section className="page narrow">
      <h1>{t.titles.missing}</h1>
      <p className="lead">{t.missing.text}</p>
      <p>
        <Link href="/">{t.missing.home}</Link>
      </p>
    </section>
  );
}
