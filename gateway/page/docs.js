function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

const named = (schema) => schema?.$ref?.split("/").pop();

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return named(schema);
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const) return schema.const;
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  return schema.format ? `${schema.type} (${schema.format})` : (schema.type ?? "any");
}

function row(name, schema, text, required) {
  return element(
    "tr",
    {},
    element("td", {}, name + (required ? " *" : "")),
    element("td", {}, typeOf(schema)),
    element("td", {}, text ?? schema?.description ?? ""),
  );
}

function table(title, rows) {
  if (!rows.length) return "";
  const head = ["Name", "Type", "Meaning"].map((text) => element("th", { scope: "col" }, text));
  return element(
    "div",
    {},
    element("h3", {}, title),
    element("div", { className: "scroll", tabIndex: 0 }, element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))),
  );
}

const fields = (schema) =>
  Object.entries(schema?.properties ?? {}).map(([name, property]) => row(name, property, property.description, schema.required?.includes(name)));

function operation(path, method, { description, parameters = [], requestBody, responses }) {
  const bodies = Object.entries(requestBody?.content ?? {});
  const rows = Object.entries(responses).flatMap(([status, { description: text, content }]) => {
    const kinds = Object.entries(content ?? { "": {} });
    return kinds.map(([kind, { schema }]) => row(status, schema && Object.keys(schema).length ? schema : { type: kind || "nothing" }, text));
  });
  return element(
    "details",
    {},
    element("summary", {}, element("code", {}, `${method.toUpperCase()} ${path}`)),
    element("p", {}, description ?? ""),
    table("Parameters", parameters.map((each) => row(`${each.name} (${each.in})`, each.schema, each.description ?? each.schema?.description, each.required))),
    ...bodies.map(([kind, { schema }]) => table(`Body: ${kind}`, fields(schema))),
    table("Responses", rows),
  );
}

function render(api) {
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, found] of Object.entries(methods)) {
      const tag = found.tags?.[0] ?? "more";
      groups.set(tag, [...(groups.get(tag) ?? []), operation(path, method, found)]);
    }
  }
  const sections = [...groups].map(([tag, operations]) => element("section", {}, element("h2", {}, tag), ...operations));
  const shapes = Object.entries(api.components?.schemas ?? {}).map(([name, schema]) =>
    element("details", {}, element("summary", {}, element("code", {}, name)), element("p", {}, schema.description ?? ""), table("Fields", fields(schema))),
  );
  const about = api.info.description.split("\n\n").map((text) => element("p", {}, text.replaceAll("`", "")));
  document.getElementById("docs").replaceChildren(
    element("section", {}, element("h2", {}, `${api.info.title} ${api.info.version}`), ...about),
    ...sections,
    element("section", {}, element("h2", {}, "Schemas"), ...shapes),
  );
}

try {
  render(await (await fetch("/openapi.json")).json());
} catch {
  document.getElementById("docs").replaceChildren(element("p", {}, "The server does not respond. Reload the page to try again."));
}
