// A form to read the stored file again with other options.
import { useState, type ReactNode } from "react";
import { useLocation } from "wouter";
import { type Problem, problemOf } from "../api/problems";
import type { Task } from "../api/task";
import { revalidateTask } from "../api/tasks";
import { t } from "../texts";
import { ProblemBox } from "../ui/parts";
import type { Report } from "./report_view";

const DELIMITERS = [",", ";", "\t", "|"];
const ENCODINGS = ["utf-8", "windows-1252", "iso-8859-1", "utf-16le", "utf-16be"];
const MARKS = [".", ","];

type Choices = Record<string, string>;

/** The chosen options as sluice.validation.v1.ReadOptions; options that were not chosen are left out. */
export function readOptions(choices: Choices, types: Choices): Record<string, unknown> {
  const { header_row: row, day_first: day, ...texts } = Object.fromEntries(Object.entries(choices).filter(([, value]) => value !== ""));
  const columns = Object.entries(types).flatMap(([name, type]) => (type ? [{ name, type }] : []));
  return {
    ...texts,
    ...(row ? { header_row: Number(row) } : {}),
    ...(day ? { day_first: day === "true" } : {}),
    ...(columns.length ? { columns } : {}),
  };
}

export function ReadAgain({ task, report }: { task: Task; report: Report }) {
  const [choices, setChoices] = useState<Choices>({});
  const [types, setTypes] = useState<Choices>({});
  const [problem, setProblem] = useState<Problem>();
  const [, go] = useLocation();
  const chosen = readOptions(choices, types);
  const choose = (name: string) => (value: string) => setChoices((before) => ({ ...before, [name]: value }));
  const send = async () => {
    try {
      go(`/tasks/${await revalidateTask(task.taskId, chosen)}`);
    } catch (failure) {
      setProblem(problemOf(failure));
    }
  };
  const { dialect, sheet } = report;
  const names = report.columns.map(({ sourceName: name }) => name);
  const named = (values: string[], words: Record<string, string> = {}) => values.map((value) => [value, words[value] ?? value] as const);
  return (
    <details className="card again">
      <summary>
        <h2>{t.options.title}</h2>
      </summary>
      <p className="hint">{t.options.lead}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <div className="again-fields">
          {dialect && (
            <>
              <Choice label={t.options.delimiter} values={named(DELIMITERS, t.report.delimiters)} value={choices.delimiter} onChange={choose("delimiter")} />
              <Choice label={t.options.encoding} values={named(ENCODINGS)} value={choices.encoding} onChange={choose("encoding")} />
            </>
          )}
          {sheet && <Choice label={t.options.sheet} values={named(sheet.allNames)} value={choices.sheet} onChange={choose("sheet")} />}
          <label className="field">
            {t.options.header}
            <input
              type="number"
              min={1}
              value={choices.header_row ?? ""}
              placeholder={String(dialect?.headerLine ?? sheet?.headerRow ?? "")}
              onChange={(event) => choose("header_row")(event.target.value)}
            />
          </label>
          <Choice label={t.options.decimal} values={named(MARKS)} value={choices.decimal_mark} onChange={choose("decimal_mark")} />
          <Choice label={t.options.days} values={named(["true", "false"], t.options.dayFirst)} value={choices.day_first} onChange={choose("day_first")} />
          <Choice label={t.options.time} values={named(names)} value={choices.time_column} onChange={choose("time_column")} />
          {names.map((name) => (
            <Choice
              key={name}
              label={t.options.type(name)}
              values={named(Object.keys(t.report.types), t.report.types)}
              value={types[name]}
              onChange={(type) => setTypes((before) => ({ ...before, [name]: type }))}
            />
          ))}
        </div>
        {problem && <ProblemBox problem={problem} />}
        <div className="actions">
          <button type="submit" className="primary" disabled={Object.keys(chosen).length === 0}>
            {t.options.send}
          </button>
        </div>
      </form>
    </details>
  );
}

interface ChoiceProps {
  label: ReactNode;
  values: (readonly [string, string])[];
  value: string | undefined;
  onChange: (value: string) => void;
}

function Choice({ label, values, value, onChange }: ChoiceProps) {
  return (
    <label className="field">
      {label}
      <select value={value ?? ""} onChange={(event) => onChange(event.target.value)}>
        <option value="">{t.options.auto}</option>
        {values.map(([each, name]) => (
          <option key={each} value={each}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
