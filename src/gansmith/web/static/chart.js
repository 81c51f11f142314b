// Curves by uPlot: colours of the theme, a mark at the time slider, marks of events, one cursor for all charts.

import uPlot from "./vendor/uplot.js";
import { html, useEffect, useRef } from "./vendor/preact.js";
import { useColours } from "./ui.js";

const HEIGHT = 190;

/** Return values smoothed by an exponential mean without its slow start; nulls stay. ``weight``: 0 to below 1. */
export function smoothed(values, weight) {
  if (!weight) return values;
  let mean = 0;
  let mass = 0;
  return values.map((value) => {
    if (value === null || value === undefined) return value;
    mean = weight * mean + (1 - weight) * value;
    mass = weight * mass + 1 - weight;
    return mean / mass;
  });
}

/** Return one table [x, y, y, ...] of several curves with their own x. */
export function joined(tables) {
  return tables.length === 1 ? tables[0] : uPlot.join(tables);
}

export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

/** Return the range of an axis; values that are all the same get some room. */
function roomy(self, low, high) {
  if (low === null || low === high) return low ? [Math.min(0, 2 * low), Math.max(0, 2 * low)] : [0, 1];
  return uPlot.rangeNum(low, high, 0.1, true);
}

/**
 * A chart. ``table`` is [x, y, ...]; ``series`` has {label, colour, dash, faint, bandTo} for each y: ``bandTo`` fills the
 * room up to another y. ``at`` is the x of the time slider, ``marks`` are {x, colour}. A drag zooms: ``onRange(from, to)``,
 * or (null, null) after a double click; a click calls ``onPick(x)``.
 */
export function Chart({ label, table, series, log, at, marks = [], sync, onRange, onPick, unit = "kimg", height = HEIGHT, low, high }) {
  const node = useRef(null);
  const plot = useRef(null);
  const now = useRef({});
  const sight = useRef({ seen: true, stale: false }); // stale: to be drawn again once it comes into sight
  now.current = { table, at, marks, onRange, onPick };
  const colour = useColours();
  const shape = JSON.stringify([series, log, unit, height, low, high]);

  useEffect(() => {
    const bands = series.flatMap(({ bandTo, colour: name }, index) => bandTo === undefined ? []
      : [{ series: [index + 1, bandTo + 1], fill: `${colour(name)}2e` }]);
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 }, font: "12px system-ui, sans-serif" };
    const made = new uPlot({
      width: Math.max(200, node.current.clientWidth),
      height,
      scales: { x: { time: false }, y: { distr: log ? 3 : 1, range: low === undefined ? (log ? undefined : roomy) : [low, high] } },
      cursor: { sync: sync ? { key: sync, setSeries: false } : undefined, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      legend: { show: false },
      bands,
      axes: [
        { ...axis, size: 34, values: (_, ticks) => ticks.map(short) },
        { ...axis, size: 52, values: (_, ticks) => ticks.map((each) => (each === null ? "" : short(each))) },
      ],
      series: [
        { label: unit },
        ...series.map(({ label: text, colour: name, dash, faint, hidden }) => ({
          label: text, spanGaps: true, points: { show: false }, dash,
          stroke: hidden ? "transparent" : `${colour(name)}${faint ? "55" : ""}`, width: faint || hidden ? 1 : 1.6,
        })),
      ],
      hooks: {
        drawAxes: [(self) => drawMarks(self, now.current, colour)],
        setSelect: [(self) => {
          if (self.select.width < 4) return;
          const [from, to] = [self.posToVal(self.select.left, "x"), self.posToVal(self.select.left + self.select.width, "x")];
          self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          now.current.onRange?.(from, to);
        }],
      },
    }, table, node.current);
    let pressedAt = null;
    made.over.addEventListener("mousedown", (event) => { pressedAt = event.clientX; });
    made.over.addEventListener("mouseup", (event) => {
      if (pressedAt !== null && Math.abs(event.clientX - pressedAt) < 4) now.current.onPick?.(made.posToVal(made.cursor.left, "x"));
      pressedAt = null;
    });
    made.over.addEventListener("dblclick", () => now.current.onRange?.(null, null));
    plot.current = made;
    const watcher = new ResizeObserver(() => made.setSize({ width: Math.max(200, node.current.clientWidth), height }));
    watcher.observe(node.current);
    const sighted = new IntersectionObserver((entries) => {
      sight.current.seen = entries.at(-1).isIntersecting;
      if (!sight.current.seen || !sight.current.stale) return;
      sight.current.stale = false;
      made.setData(now.current.table);
    });
    sighted.observe(node.current);
    return () => { watcher.disconnect(); sighted.disconnect(); made.destroy(); plot.current = null; };
  }, [shape, colour, sync]);
  const drawn = (draw) => {
    if (sight.current.seen) draw(plot.current);
    else sight.current.stale = true;
  };
  useEffect(() => drawn((made) => made?.setData(table)), [table, shape, colour]);
  useEffect(() => drawn((made) => made?.redraw(false)), [at, marks]);

  return html`<div class="chart-box">
    <ul class="legend">${series.map((each) => !each.faint && !each.hidden && html`<li key=${each.label}>
      <${Swatch} colour=${colour(each.colour)} dashed=${Boolean(each.dash)} />${each.label} <b class="numbers">${short(lastOf(table, series.indexOf(each)))}</b></li>`)}</ul>
    <div class="chart" role="img" aria-label=${`${label}. ${series.filter((each) => !each.faint && !each.hidden)
      .map((each) => `${each.label}: last value ${short(lastOf(table, series.indexOf(each)))}`).join("; ")}`} ref=${node}></div>
  </div>`;
}

function Swatch({ colour, dashed }) {
  return html`<svg width="18" height="8" aria-hidden="true"><line x1="0" y1="4" x2="18" y2="4" stroke=${colour} stroke-width="2.5" stroke-dasharray=${dashed ? "4 3" : undefined} /></svg>`;
}

function lastOf(table, index) {
  const values = table[index + 1] ?? [];
  for (let place = values.length - 1; place >= 0; place -= 1) if (values[place] !== null && values[place] !== undefined) return values[place];
  return null;
}

function drawMarks(self, { at, marks }, colour) {
  const { ctx, bbox } = self;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const line = (x, name, width, dash) => {
    if (x === null || x === undefined) return;
    const left = Math.round(self.valToPos(x, "x", true));
    ctx.strokeStyle = colour(name);
    ctx.lineWidth = width * devicePixelRatio;
    ctx.setLineDash(dash.map((each) => each * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(left, bbox.top);
    ctx.lineTo(left, bbox.top + bbox.height);
    ctx.stroke();
  };
  for (const { x, colour: name } of marks) line(x, name, 1, [2, 3]);
  line(at, "accent", 1.5, []);
  ctx.restore();
}
