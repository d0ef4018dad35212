// The stages as bars on a time axis; the gaps are waiting times.
import { ended, type Task } from "../api/task";
import { duration } from "../format";
import { t } from "../texts";
import { useNow } from "../ui/parts";
import { spans } from "./stages";

export function Timeline({ task }: { task: Task }) {
  const now = useNow(!ended(task));
  return (
    <ol className="timeline">
      {spans(task, task.stageTimings, now).map((span) => (
        <li key={span.stage} className={`stage ${span.state}`} data-stage={span.stage}>
          <span className="stage-name">{t.stages[span.stage] ?? span.stage}</span>
          <span className="track" aria-hidden="true">
            <span style={{ marginInlineStart: `${span.from * 100}%`, width: `${span.length * 100}%` }} />
          </span>
          <span className="stage-time">
            {span.state === "waiting" ? "–" : duration(span.seconds)}
            {span.state === "running" && <span className="visually-hidden"> {t.task.stageRunning}</span>}
          </span>
        </li>
      ))}
    </ol>
  );
}
