const TERMINAL = new Set(["SUCCEEDED", "REJECTED", "FAILED", "CANCELLED", "TIMEOUT"]);
const POLL_MS = 3000;
// A browser opens at most six connections to one server over HTTP/1.1: some must stay free for everything else.
const MOST_STREAMS = 3;
const MOST_ROWS_SHOWN = 1000;

const $ = (id) => document.getElementById(id);
const chosen = new URLSearchParams(location.search).get("task");

/** An element with properties and children; text is always text, never markup. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

function bytes(size) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let step = 0;
  while (size >= 1024 && step < units.length - 1) {
    size /= 1024;
    step += 1;
  }
  return `${step ? size.toFixed(1) : size} ${units[step]}`;
}

const count = (number) => number.toLocaleString("en");

function problem({ code, message, line, column, action }, kind = "problem") {
  const place = [line ? `line ${line}` : "", column ? `column ${column}` : ""].filter(Boolean).join(", ");
  return element(
    "div",
    { className: kind },
    element("p", {}, message + (place && !message.includes(place) ? ` (${place})` : "")),
    element("p", { className: "action" }, action, " ", element("small", {}, code)),
  );
}

const away = {
  code: "UNREACHABLE",
  message: "The server does not answer.",
  action: "Check that it runs and that you are online; what you entered here stays.",
};

/** The JSON of an answer; throws what is wrong as {code, message, action, ...}. */
async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw away;
  }
  const body = await answer.json().catch(() => away);
  if (!answer.ok) throw body;
  return body;
}

// --- loading a file ---

let sending = null;

function showLoad(...children) {
  $("load-status").replaceChildren(...children);
}

function endLoad() {
  sending = null;
  $("send").disabled = false;
  $("stop").hidden = true;
  $("progress").hidden = true;
}

$("load").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const file = $("file").files[0];
  const started = performance.now();
  // fetch tells nothing of an upload's progress.
  const request = new XMLHttpRequest();
  sending = request;
  request.open("POST", form.action);
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    const seconds = (performance.now() - started) / 1000;
    $("progress").value = loaded / total;
    const rate = seconds > 0.5 && loaded < total ? `, ${bytes(Math.round(loaded / seconds))}/s` : "";
    showLoad(loaded < total ? `Sending ${file.name}: ${bytes(loaded)} of ${bytes(total)}${rate}` : `Storing ${file.name} ...`);
  });
  request.addEventListener("load", () => {
    endLoad();
    let body = away;
    try {
      body = JSON.parse(request.responseText);
    } catch {
      // Not from us: the answer of something in between.
    }
    if (request.status === 202) {
      showLoad(`${file.name} is stored. What happens to it now stands below.`);
      $("file").value = "";
      refresh();
    } else {
      showLoad(problem(body));
    }
  });
  request.addEventListener("error", () => {
    endLoad();
    showLoad(problem(away));
  });
  request.addEventListener("abort", () => {
    endLoad();
    showLoad("Stopped; nothing of the file is kept.");
  });
  $("send").disabled = true;
  $("stop").hidden = false;
  $("progress").hidden = false;
  $("progress").value = 0;
  showLoad(`Sending ${file.name} ...`);
  request.send(new FormData(form));
});

$("stop").addEventListener("click", () => sending?.abort());

$("file").addEventListener("change", () => {
  const file = $("file").files[0];
  if (file && !$("datasource").value) {
    const stem = file.name.replace(/\.[^.]*$/, "").toLowerCase();
    $("datasource").value = stem.replace(/[^a-z0-9_.-]+/g, "_").replace(/^[^a-z0-9]+|_+$/g, "").slice(0, 128);
  }
});

addEventListener("beforeunload", (event) => {
  if (sending) event.preventDefault();
});

// --- the list of tasks ---

const items = new Map(); // task id -> {task, node}
const streams = new Map(); // task id -> EventSource

function tone(status) {
  if (status === "SUCCEEDED") return "good";
  return TERMINAL.has(status) ? (status === "CANCELLED" ? "" : "bad") : "busy";
}

function facts(task) {
  const size = task.file_size ?? task.received_size;
  return [
    `into ${task.datasource_name}`,
    task.mode === "replace" ? "replacing" : "",
    size ? bytes(size) : "",
    task.rows_read === null ? "" : `${count(task.rows_read)} rows read`,
    task.row_count === null ? "" : `${count(task.row_count)} loaded`,
    task.rows_rejected ? `${count(task.rows_rejected)} refused` : "",
    task.rows_skipped ? `${count(task.rows_skipped)} skipped` : "",
    task.created_at ? new Date(task.created_at).toLocaleString() : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

function links(task) {
  const path = `/api/ingest/tasks/${task.task_id}`;
  const made = [];
  const link = (href, text) => made.push(element("a", { href }, text));
  if (task.rows_read !== null || task.validation_errors.length) link(`${path}/report`, "Report");
  if (task.rows_rejected) link(`${path}/rejects`, "Refused rows (CSV)");
  link(path, "JSON");
  if (task.status === "SUCCEEDED") {
    const look = element("button", { type: "button", className: "quiet small" }, "Look at it");
    look.addEventListener("click", () => run(`SELECT * FROM "${task.datasource_name}" WHERE "__load_id" = '${task.task_id}' LIMIT 100`));
    made.push(look);
  }
  if (!TERMINAL.has(task.status) && task.status !== "CLEANING") {
    const cancel = element("button", { type: "button", className: "quiet small" }, "Cancel");
    cancel.addEventListener("click", async () => {
      cancel.disabled = true;
      try {
        show(await ask(`${path}/cancel`, { method: "POST" }));
      } catch (wrong) {
        cancel.disabled = false;
        cancel.after(problem(wrong));
      }
    });
    made.push(cancel);
  }
  return made;
}

function content(task) {
  const errors = task.validation_errors.length ? task.validation_errors : task.error ? [task.error] : [];
  const findings = [...errors, ...task.validation_warnings];
  return [
    element(
      "div",
      { className: "task-head" },
      element("h3", {}, task.original_filename),
      element("span", { className: `state ${tone(task.status)}` }, task.status),
    ),
    element("p", { className: "task-facts" }, facts(task)),
    task.message && task.message !== errors[0]?.message ? element("p", { className: "task-message" }, task.message) : "",
    ...findings.slice(0, 5).map((each, place) => problem(each, place < errors.length ? "problem" : "problem note")),
    findings.length > 5 ? element("p", { className: "hint" }, `and ${findings.length - 5} more: see the report`) : "",
    element("div", { className: "task-links" }, ...links(task)),
  ].filter((child) => child !== "");
}

/** Shows a task where it stands in the list. What has not changed is left alone, so that the focus stays where it is. */
function show(task) {
  const item = items.get(task.task_id);
  if (!item) return;
  if (JSON.stringify(item.task) !== JSON.stringify(task)) {
    item.task = task;
    item.node.replaceChildren(...content(task));
  }
}

function follow(task) {
  if (TERMINAL.has(task.status) || streams.has(task.task_id) || streams.size >= MOST_STREAMS) return;
  const stream = new EventSource(`/api/ingest/tasks/${task.task_id}/events`);
  const end = () => {
    stream.close();
    streams.delete(task.task_id);
  };
  streams.set(task.task_id, stream);
  let wanted = false;
  stream.addEventListener("message", (event) => {
    const told = JSON.parse(event.data);
    const item = items.get(told.task_id);
    if (!item || TERMINAL.has(told.status)) end();
    if (item && told.kind === "progress" && told.message && told.status === item.task.status) {
      show({ ...item.task, message: told.message });
    } else if (item && !wanted) {
      // Events come in bursts; one look at the task is enough for each.
      wanted = true;
      setTimeout(async () => {
        wanted = false;
        show(await ask(`/api/ingest/tasks/${told.task_id}`).catch(() => items.get(told.task_id)?.task ?? item.task));
      }, 100);
    }
  });
  // The list is polled anyway: that is where the end shows when the stream is lost.
  stream.addEventListener("error", end);
}

async function refresh() {
  let page;
  try {
    page = await ask("/api/ingest/tasks?limit=25");
    if (chosen && !page.tasks.some((task) => task.task_id === chosen)) {
      const task = await ask(`/api/ingest/tasks/${encodeURIComponent(chosen)}`).catch(() => null);
      if (task) page.tasks.unshift(task);
    }
  } catch (wrong) {
    $("tasks-status").replaceChildren(problem(wrong));
    return;
  }
  $("tasks-status").textContent = page.tasks.length ? "" : "Nothing was loaded yet. Choose a file above.";
  const known = new Set(page.tasks.map((task) => task.task_id));
  for (const [id, item] of items) {
    if (!known.has(id)) {
      item.node.remove();
      items.delete(id);
    }
  }
  page.tasks.forEach((task, place) => {
    if (!items.has(task.task_id)) {
      const node = element("li", { className: task.task_id === chosen ? "chosen" : "" });
      items.set(task.task_id, { task: null, node });
    }
    const { node } = items.get(task.task_id);
    if ($("tasks").children[place] !== node) $("tasks").insertBefore(node, $("tasks").children[place] ?? null);
    show(task);
    follow(task);
  });
  $("datasources").replaceChildren(...[...new Set(page.tasks.map((task) => task.datasource_name))].map((value) => element("option", { value })));
}

async function poll() {
  if (!document.hidden) await refresh();
  setTimeout(poll, POLL_MS);
}

document.addEventListener("visibilitychange", () => document.hidden || refresh());
poll();

// --- asking ---

function cell(value) {
  if (value === null) return element("td", { className: "null" }, "null");
  if (typeof value === "object") return element("td", {}, JSON.stringify(value));
  return element("td", { className: typeof value === "number" ? "number" : "" }, String(value));
}

function table({ columns, rows }) {
  const head = columns.map(({ name, type }) => element("th", { scope: "col" }, name, element("small", {}, type)));
  const body = rows.slice(0, MOST_ROWS_SHOWN).map((row) => element("tr", {}, ...row.map(cell)));
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}

/** JSON whose whole numbers beyond 2^53 stay what they are: as text, where the browser lets us see the source of a number. */
function exact(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source ? context.source : value,
  );
}

async function query(sql) {
  $("answer-status").textContent = "Asking ...";
  $("answer").hidden = true;
  try {
    let answer;
    try {
      answer = await fetch("/api/query", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ sql, limit: MOST_ROWS_SHOWN }),
      });
    } catch {
      throw away;
    }
    const text = await answer.text().catch(() => "");
    let body = away;
    try {
      body = exact(text);
    } catch {
      // The answer broke off, or is not from us.
    }
    if (!answer.ok || body === away) throw body;
    const more = body.truncated ? "; there are more" : "";
    $("answer-status").textContent = `${count(body.row_count)} ${body.row_count === 1 ? "row" : "rows"} in ${count(body.elapsed_ms)} ms${more}`;
    $("answer").replaceChildren(table(body));
    $("answer").hidden = false;
  } catch (wrong) {
    $("answer-status").replaceChildren(problem(wrong));
  }
}

function run(sql) {
  $("sql").value = sql;
  $("query").requestSubmit();
  $("query-title").scrollIntoView({ block: "start" });
}

$("query").addEventListener("submit", (event) => {
  event.preventDefault();
  query($("sql").value);
});

$("sql").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    $("query").requestSubmit();
  }
});
