// The first page: drop, preview and send files; and the latest loads.
import { useEffect, useState } from "react";
import { useDropzone } from "react-dropzone";
import { Link, useLocation } from "wouter";
import sampleUrl from "../../../examples/sales.csv?url";
import { useDocument } from "../api/documents";
import { DatasourcesDocument } from "../api/generated";
import { type Problem, problemOf } from "../api/problems";
import { request } from "../api/rest";
import { useTasks } from "../api/tasks";
import { size } from "../format";
import { TaskRows } from "../tasks/task_rows";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { Empty, ProblemBox, useTitle } from "../ui/parts";
import { type Limits, useLimits } from "./limits";
import { acceptable, validDatasource } from "./names";
import { forget, unfinished, type Unfinished } from "./send";
import { UploadCard } from "./upload_card";
import { addUpload, startUpload, useUploads } from "./uploads";

const RECENT = 5;

/** Adds files to the list; returns a text for each that it rejects. */
function accept(files: File[], limits: Limits | undefined): string[] {
  const refused: string[] = [];
  for (const file of files) {
    if (limits && !acceptable(file.name, limits.extensions)) refused.push(t.load.refusedType(file.name, limits.extensions));
    else if (limits && file.size > limits.max_file_bytes) refused.push(t.load.tooLarge(file.name, size(limits.max_file_bytes)));
    else if (file.size === 0) refused.push(t.load.empty(file.name));
    else addUpload(file);
  }
  return refused;
}

export function LoadPage() {
  useTitle(t.titles.load);
  const uploads = useUploads();
  const [, go] = useLocation();
  const [refused, setRefused] = useState<string[]>([]);
  const { tasks, problem } = useTasks(RECENT);
  const limits = useLimits();
  const { data: existing } = useDocument(DatasourcesDocument, uploads.length ? {} : null);
  const datasources = existing?.listDatasources.map(({ name }) => name) ?? [];
  const { getRootProps, getInputProps, isDragActive, open } = useDropzone({
    onDrop: (files) => setRefused(accept(files, limits)),
    noClick: true,
    noKeyboard: true,
  });
  const ready = uploads.filter((upload) => upload.state === "ready" && validDatasource(upload.datasource));
  const openWhenAlone = (taskId: string | undefined) => {
    if (taskId && uploads.length === 1 && location.pathname === "/") go(`/tasks/${taskId}`);
  };

  return (
    <div className="page">
      <section className="hero">
        <h1>{t.load.title}</h1>
        <p className="lead">{t.load.lead}</p>
      </section>
      <section {...getRootProps({ className: `drop ${isDragActive ? "over" : ""} ${uploads.length ? "small" : ""}` })}>
        <input {...getInputProps()} />
        <span className="drop-icon">
          <Icon name="load" />
        </span>
        <p className="drop-title">{isDragActive ? t.load.release : t.load.drop}</p>
        <button type="button" className="primary" onClick={open}>
          {t.load.choose}
        </button>
        <p className="hint">
          {limits && t.load.kinds(limits.extensions, size(limits.max_file_bytes))} {t.load.needs}
        </p>
      </section>
      <div role="alert">
        {refused.map((text) => (
          <p key={text} className="refused">
            {text}
          </p>
        ))}
      </div>
      <UnfinishedUploads sending={new Set(uploads.map(({ key }) => key))} onChoose={open} />
      {uploads.length > 0 && (
        <section className="uploads" aria-label={t.titles.load}>
          {ready.length > 1 && (
            <div className="actions end">
              <button type="button" className="primary" onClick={() => ready.forEach(({ id }) => void startUpload(id))}>
                {t.upload.sendAll(ready.length)}
              </button>
            </div>
          )}
          {uploads.map((upload) => (
            <UploadCard key={upload.id} upload={upload} datasources={datasources} onSend={() => void startUpload(upload.id).then(openWhenAlone)} />
          ))}
        </section>
      )}
      <section className="recent">
        <div className="section-head">
          <h2>{t.load.recent}</h2>
          {tasks && tasks.length > 0 && <Link href="/tasks">{t.load.all}</Link>}
        </div>
        {problem && <ProblemBox problem={problem} />}
        {tasks?.length === 0 && uploads.length === 0 && <Sample />}
        {tasks && tasks.length > 0 && <TaskRows tasks={tasks} />}
      </section>
    </div>
  );
}

/** Interrupted uploads of earlier tabs. Only the user can open their files again. */
function UnfinishedUploads({ sending, onChoose }: { sending: ReadonlySet<string>; onChoose: () => void }) {
  const [found, setFound] = useState<Unfinished[]>([]);
  useEffect(() => void unfinished().then(setFound), []);
  const left = found.filter(({ key }) => !sending.has(key));
  if (left.length === 0) return null;
  return (
    <section className="card" aria-labelledby="left-title">
      <h2 id="left-title">{t.upload.unfinished}</h2>
      <p className="hint">{t.upload.unfinishedLead}</p>
      <ul className="left">
        {left.map((each) => (
          <li key={each.key}>
            <span className="left-name">
              <b>{each.name}</b> <span className="quiet-text">{size(each.size)}</span> {t.task.into} {each.datasource}
            </span>
            <span className="actions">
              <button type="button" onClick={onChoose}>
                {t.upload.chooseAgain}
                <span className="visually-hidden"> {each.name}</span>
              </button>
              <button
                type="button"
                onClick={() => {
                  setFound(left.filter((other) => other !== each));
                  void forget(each);
                }}
              >
                {t.upload.forget}
                <span className="visually-hidden"> {each.name}</span>
              </button>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Offers a sample file while there are no loads. */
function Sample() {
  const [problem, setProblem] = useState<Problem>();
  const load = async () => {
    try {
      const bytes = await (await request(sampleUrl)).blob();
      addUpload(new File([bytes], "sales.csv", { type: "text/csv" }));
      scrollTo({ top: 0 });
    } catch (failure) {
      setProblem(problemOf(failure));
    }
  };
  return (
    <Empty icon="file">
      <p>{t.load.none}</p>
      <p>
        <b>{t.load.first}</b> {t.load.sampleText}
      </p>
      <div className="actions">
        <button type="button" onClick={() => void load()}>
          {t.load.sample}
        </button>
        <a href={sampleUrl} download="sales.csv">
          {t.load.sampleDownload}
        </a>
      </div>
      {problem && <ProblemBox problem={problem} />}
    </Empty>
  );
}
