// A dropped file: preview, options and upload progress.
import { useEffect, useId, useState } from "react";
import { Link } from "wouter";
import { duration, size } from "../format";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { Bar, ProblemBox, useNow } from "../ui/parts";
import { extensionOf, validDatasource } from "./names";
import { preview, type Preview } from "./preview";
import { pauseUpload, removeUpload, resumeUpload, setOptions, startOver, stopUpload, type Upload } from "./uploads";

interface Props {
  upload: Upload;
  /** Names of the existing datasources. */
  datasources: string[];
  onSend: () => void;
}

export function UploadCard({ upload, datasources, onSend }: Props) {
  const { id, file, state } = upload;
  const sendable = state === "ready" || state === "failed" || state === "stopped";
  const inProgress = state === "sending" || state === "waiting" || state === "paused";
  return (
    <article className="card upload" aria-label={file.name}>
      <header className="card-head">
        <Icon name="file" />
        <h2>{file.name}</h2>
        <span className="quiet-text">{size(file.size)}</span>
        {!inProgress && (
          <button type="button" className="icon-button" aria-label={`${t.upload.remove} ${file.name}`} onClick={() => removeUpload(id)}>
            <Icon name="cross" />
          </button>
        )}
      </header>
      {sendable && (upload.unfinished ? <p>{t.upload.unfinishedHere(upload.datasource)}</p> : <Options upload={upload} datasources={datasources} />)}
      {inProgress && <Progress upload={upload} />}
      {state === "stopped" && <p className="hint">{t.upload.stopped}</p>}
      {upload.problem && <ProblemBox problem={upload.problem} />}
      {sendable && (
        <div className="actions">
          <button type="button" className="primary" onClick={onSend} disabled={!validDatasource(upload.datasource)}>
            {upload.unfinished ? t.upload.goOn : state === "ready" ? t.upload.send : t.upload.again}
          </button>
          {upload.unfinished && (
            <button type="button" onClick={() => void startOver(id)}>
              {t.upload.startOver}
            </button>
          )}
        </div>
      )}
      {upload.taskId && (
        <Link href={`/tasks/${upload.taskId}`} className="button">
          {t.upload.watch}
        </Link>
      )}
    </article>
  );
}

function Options({ upload, datasources }: Omit<Props, "onSend">) {
  const { id, datasource, mode } = upload;
  const field = useId();
  const valid = validDatasource(datasource);
  return (
    <>
      <FirstRows file={upload.file} />
      <div className="wishes">
        <div className="field">
          <label htmlFor={field}>{t.upload.datasource}</label>
          <input
            id={field}
            list={`${field}-existing`}
            value={datasource}
            onChange={(event) => setOptions(id, { datasource: event.target.value })}
            maxLength={128}
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
            aria-invalid={!valid}
            aria-describedby={`${field}-hint`}
          />
          <p className={valid ? "hint" : "hint bad-text"} id={`${field}-hint`}>
            {!valid ? t.upload.datasourceInvalid : datasources.includes(datasource) ? t.upload.existing : t.upload.datasourceHint}
          </p>
          <datalist id={`${field}-existing`}>
            {datasources.map((each) => (
              <option key={each} value={each} />
            ))}
          </datalist>
        </div>
        <fieldset className="field">
          <legend>{t.upload.mode}</legend>
          {(["append", "replace"] as const).map((each) => (
            <label key={each} className="choice">
              <input type="radio" name={`${field}-mode`} checked={mode === each} onChange={() => setOptions(id, { mode: each, planFirst: each === "replace" })} />
              <span>
                {t.upload[each]}
                <small>{t.upload[`${each}Hint`]}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <label className="choice wide">
          <input
            type="checkbox"
            checked={upload.allowDuplicate}
            onChange={(event) => setOptions(id, { allowDuplicate: event.target.checked })}
          />
          <span>{t.upload.duplicate}</span>
        </label>
        <label className="choice wide">
          <input type="checkbox" checked={upload.planFirst} onChange={(event) => setOptions(id, { planFirst: event.target.checked })} />
          <span>{t.upload.planFirst}</span>
        </label>
      </div>
    </>
  );
}

function FirstRows({ file }: { file: File }) {
  const [found, setFound] = useState<Preview | null>();
  const text = extensionOf(file.name) === ".csv";
  useEffect(() => {
    if (!text) return;
    let current = true;
    preview(file).then(
      (rows) => current && setFound(rows),
      () => current && setFound(null),
    );
    return () => {
      current = false;
    };
  }, [file, text]);
  if (!text) return <p className="hint">{t.upload.noPreview}</p>;
  if (found === undefined) return null;
  if (found === null) return <p className="hint">{t.upload.previewFailed}</p>;
  const caption = t.upload.preview(found.rows.length);
  return (
    <div className="table-scroll preview" tabIndex={0} role="region" aria-label={`${caption}: ${file.name}`}>
      <table>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {found.header.map((name, place) => (
              <th key={place} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {found.rows.map((row, line) => (
            <tr key={line}>
              {row.map((value, place) => (
                <td key={place}>{value}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Progress({ upload }: { upload: Upload }) {
  const { id, file, sent, from, began, state } = upload;
  const now = useNow(state === "sending");
  const seconds = (now - began) / 1000;
  const rate = from !== undefined && seconds > 1 ? (sent - from) / seconds : 0;
  const whole = sent >= file.size;
  return (
    <div className="sending">
      <Bar label={t.upload.progress(file.name)} value={whole ? undefined : sent / file.size} tone={state === "sending" ? "" : "still"} />
      <p className="sending-facts">
        <span>{whole ? t.upload.stored : `${size(sent)} / ${size(file.size)}`}</span>
        {state === "sending" && !whole && rate > 0 && (
          <>
            <span>{t.upload.rate(size(rate))}</span>
            <span>{t.upload.left(duration((file.size - sent) / rate))}</span>
          </>
        )}
        <span role="status">{state === "waiting" ? t.upload.waiting : state === "paused" ? t.upload.paused : ""}</span>
      </p>
      <div className="actions">
        {state === "paused" ? (
          <button type="button" className="primary" onClick={() => resumeUpload(id)}>
            {t.upload.goOn}
          </button>
        ) : (
          <button type="button" onClick={() => pauseUpload(id)} disabled={whole}>
            {t.upload.pause}
          </button>
        )}
        <button type="button" onClick={() => stopUpload(id)}>
          {t.upload.cancel}
        </button>
      </div>
    </div>
  );
}
