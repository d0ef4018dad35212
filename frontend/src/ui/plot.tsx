// A chart on a canvas, drawn by uPlot in the colours of the page.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Series } from "../query/chart_series";
import { figure } from "../format";
import { useColours } from "../theme";

const PALETTE = ["--chart-1", "--chart-2", "--chart-3"];
const LONGEST_WORD = 14;
/** Pixels for the labels of the y axis. */
const AXIS = 72;

function colour(host: HTMLElement, name: string): string {
  // Resolves light-dark(), which a canvas does not support.
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  host.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const cut = (word: string): string => (word.length > LONGEST_WORD ? `${word.slice(0, LONGEST_WORD - 1)}…` : word);

function options(host: HTMLElement, { kind, time, words, ys }: Series, height: number): uPlot.Options {
  const grid = { stroke: colour(host, "--line"), width: 1 };
  const axis = { stroke: colour(host, "--muted"), grid, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const bars = uPlot.paths.bars?.({ size: [0.7, 64], radius: 0.15 });
  const width = host.clientWidth;
  // Space for a label below each bar, or every n-th bar.
  const every = words ? Math.max(1, Math.ceil(words.length / Math.max(1, Math.floor((width - AXIS) / 90)))) : 1;
  return {
    width,
    height,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    cursor: { y: false, points: { size: 7 } },
    legend: { live: true },
    scales: {
      x: { time, ...(words ? { range: (): [number, number] => [-0.6, words.length - 0.4] } : {}) },
      // Bars start at zero: their lengths are compared.
      y: kind === "bar" ? { range: (_, low, high): [number, number] => [Math.min(0, low), Math.max(0, high) * 1.05 || 1] } : {},
    },
    axes: [
      words
        ? { ...axis, grid: { show: false }, splits: () => words.map((_, place) => place).filter((place) => place % every === 0), values: (_, places) => places.map((place) => cut(words[place] ?? "")) }
        : axis,
      { ...axis, size: AXIS, values: (_, values) => values.map((value) => figure(value)) },
    ],
    series: [
      words ? { value: (_, place) => words[place] ?? "" } : {},
      ...ys.map(({ name }, place): uPlot.Series => {
        const stroke = colour(host, PALETTE[place % PALETTE.length] ?? "--chart-1");
        const shared = { label: name, stroke, value: (_: uPlot, value: number | null) => (value === null ? "–" : figure(value)) };
        if (kind === "bar") return { ...shared, fill: stroke, ...(bars ? { paths: bars } : {}), points: { show: false } };
        if (kind === "scatter") return { ...shared, paths: () => null, points: { show: true, size: 5, fill: stroke } };
        return { ...shared, width: 2, points: { size: 6, fill: stroke } };
      }),
    ],
  };
}

export function Plot({ label, height = 340, ...data }: Series & { label: string; height?: number }) {
  const host = useRef<HTMLDivElement>(null);
  const colours = useColours();
  const { kind, time, words, x, ys } = data;
  useEffect(() => {
    const node = host.current;
    if (!node) return;
    const shape: Series = { kind, time, words, x, ys };
    const plot = new uPlot(options(node, shape, height), [x, ...ys.map(({ values }) => values)], node);
    const resized = new ResizeObserver(() => {
      if (node.clientWidth && node.clientWidth !== plot.width) plot.setSize({ width: node.clientWidth, height });
    });
    resized.observe(node);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [kind, time, words, x, ys, height, colours]);
  return <div ref={host} className="plot" role="img" aria-label={label} />;
}
