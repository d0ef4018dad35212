// Settings for reading and validating the files of a datasource.
import { useState, type ReactNode } from "react";
import { type Problem, problemOf } from "../api/problems";
import { read, useRead } from "../api/rest";
import { t } from "../texts";
import { Loading, ProblemBox } from "../ui/parts";

interface Rule {
  name: string;
  severity: string | null;
  limit: number | null;
}

/** sluice.status.v1.DatasourceSettings as JSON. Not typed by codegen: fields that the form does not know must survive a save. */
export interface Settings {
  policy: { rules: Rule[]; contract: { mode: string | null } | null; [other: string]: unknown } | null;
  options: Record<string, unknown> | null;
}

export const RULES = ["min_columns", "min_numeric_columns", "max_null_share", "max_reject_share", "time_column"];
const LIMITLESS = "time_column";
const SEVERITIES = ["BLOCK", "WARN", "OFF"];
const CONTRACTS = ["EVOLVE", "FREEZE", "DISCARD"];
const DELIMITERS = [",", ";", "\t", "|"];
const ENCODINGS = ["utf-8", "windows-1252", "iso-8859-1", "utf-16le", "utf-16be"];

export function withRule(settings: Settings, name: string, change: Partial<Rule>): Settings {
  const policy = settings.policy ?? { rules: [], contract: null };
  const before = policy.rules.find((rule) => rule.name === name) ?? { name, severity: null, limit: null };
  const made = { ...before, ...change };
  const others = policy.rules.filter((rule) => rule.name !== name);
  // A rule without a severity and limit has its defaults.
  const rules = made.severity || made.limit !== null ? [...others, made] : others;
  return { ...settings, policy: { ...policy, rules } };
}

export function withContract(settings: Settings, mode: string): Settings {
  const policy = settings.policy ?? { rules: [], contract: null };
  return { ...settings, policy: { ...policy, contract: mode ? { mode } : null } };
}

export function SettingsForm({ datasource }: { datasource: string }) {
  const path = `/api/datasources/${encodeURIComponent(datasource)}/settings`;
  const { data, problem: unread } = useRead<Settings>(path);
  const [edited, setEdited] = useState<Settings>();
  const [saved, setSaved] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const settings = edited ?? data;
  if (unread) return <ProblemBox problem={unread} />;
  if (!settings) return <Loading />;

  const change = (next: Settings) => {
    setEdited(next);
    setSaved(false);
  };
  const option = (name: string, value: string) => change({ ...settings, options: { ...settings.options, [name]: value || null } });
  const save = async () => {
    try {
      const init = { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(settings) };
      setEdited(await read<Settings>(path, init));
      setProblem(undefined);
      setSaved(true);
    } catch (failure) {
      setProblem(problemOf(failure));
    }
  };
  const rules = settings.policy?.rules ?? [];
  const chosen = (name: string): string => String(settings.options?.[name] ?? "");
  return (
    <form
      className="settings"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <Choice
        label={t.settings.contract}
        hint={t.settings.contractHint[settings.policy?.contract?.mode ?? "EVOLVE"]}
        values={CONTRACTS.map((mode) => [mode, t.settings.contracts[mode] ?? mode])}
        none={t.settings.contracts.EVOLVE ?? ""}
        value={settings.policy?.contract?.mode ?? ""}
        onChange={(mode) => change(withContract(settings, mode))}
      />
      <fieldset>
        <legend>{t.report.rules}</legend>
        {RULES.map((name) => {
          const rule = rules.find((each) => each.name === name);
          const shown = t.report.rule[name] ?? name;
          return (
            <div key={name} className="settings-rule">
              <Choice
                label={shown}
                hint={t.settings.ruleHint[name]}
                values={SEVERITIES.map((severity) => [severity, t.settings.severities[severity] ?? severity])}
                none={t.settings.usual}
                value={rule?.severity ?? ""}
                onChange={(severity) => change(withRule(settings, name, { severity: severity || null }))}
              />
              {name !== LIMITLESS && (
                <label className="field">
                  {t.settings.limit(name.endsWith("_share"))}
                  <span className="visually-hidden"> {shown}</span>
                  <input
                    type="number"
                    min={0}
                    step={name.endsWith("_share") ? "any" : 1}
                    max={name.endsWith("_share") ? 1 : undefined}
                    placeholder={t.settings.usual}
                    value={rule?.limit ?? ""}
                    onChange={({ target: { value } }) => change(withRule(settings, name, { limit: value === "" ? null : Number(value) }))}
                  />
                </label>
              )}
            </div>
          );
        })}
      </fieldset>
      <fieldset>
        <legend>{t.settings.reading}</legend>
        <p className="hint">{t.settings.readingHint}</p>
        <div className="again-fields">
          <Choice
            label={t.options.delimiter}
            values={DELIMITERS.map((each) => [each, t.report.delimiters[each] ?? each])}
            none={t.options.auto}
            value={chosen("delimiter")}
            onChange={(value) => option("delimiter", value)}
          />
          <Choice
            label={t.options.encoding}
            values={ENCODINGS.map((each) => [each, each])}
            none={t.options.auto}
            value={chosen("encoding")}
            onChange={(value) => option("encoding", value)}
          />
          <Choice
            label={t.options.decimal}
            values={[".", ","].map((each) => [each, each])}
            none={t.options.auto}
            value={chosen("decimal_mark")}
            onChange={(value) => option("decimal_mark", value)}
          />
          <label className="field">
            {t.options.time}
            <input value={chosen("time_column")} placeholder={t.options.auto} onChange={({ target }) => option("time_column", target.value)} />
          </label>
        </div>
      </fieldset>
      {problem && <ProblemBox problem={problem} />}
      <div className="actions">
        <button type="submit" className="primary">
          {t.settings.save}
        </button>
        <span role="status" className="quiet-text">
          {saved ? t.settings.saved : ""}
        </span>
      </div>
    </form>
  );
}

interface ChoiceProps {
  label: ReactNode;
  hint?: string | undefined;
  values: (readonly [string, string])[];
  /** Label of the empty choice. */
  none: string;
  value: string;
  onChange: (value: string) => void;
}

function Choice({ label, hint, values, none, value, onChange }: ChoiceProps) {
  return (
    <label className="field">
      {label}
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        {!values.some(([, name]) => name === none) && <option value="">{none}</option>}
        {values.map(([each, name]) => (
          <option key={each} value={name === none ? "" : each}>
            {name}
          </option>
        ))}
      </select>
      {hint && <small className="hint">{hint}</small>}
    </label>
  );
}
