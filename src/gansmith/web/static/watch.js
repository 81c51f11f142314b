// Watch: runs in training or ended; grids, curves, verdicts and events on one time line; several runs side by side.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { Badge, Button, Check, Dialog, Facts, Notice, Panel, Select, Slider, remember, remembered, say, useColours, useHotkeys } from "./ui.js";
import { address, getJson, listen, sendJson } from "./http.js";
import { Chart, joined, short, smoothed } from "./chart.js";

const COLOURS = ["curve-1", "curve-2", "curve-3", "curve-4", "curve-5", "curve-6"];
const MOST_RUNS = 4;
const POINTS = 800;
const MOST_POINTS = 3 * POINTS; // with the rows that came since; then all are asked for again, thinned
const MOST_FRESH = 2000;
const SOONEST_MS = 1000, LATEST_MS = 10_000; // between two drawings of what came
const REST = 150; // times what a drawing took, frame included: a busy machine is left to its training
const STATUS = { training: ["good", "training"], paused: ["warn", "paused"], finished: ["", "finished"], ended: ["bad", "ended early"] };
const VERDICTS = {
  healthy: ["good", "healthy"], memorization: ["warn", "memorization (overfitting)"], full_collapse: ["bad", "full mode collapse"],
  partial_collapse: ["warn", "partial mode collapse"], generator_wins: ["bad", "G wins"], discriminator_wins: ["bad", "D wins"],
  oscillating: ["warn", "oscillating"], diverged: ["bad", "diverged"], stalled: ["warn", "stalled"],
  lagging_average: ["warn", "the average lags"], grainy: ["warn", "grainy"], blurred: ["warn", "blurred"],
};
const EVENTS = {
  health: "verdict", skipped: "skipped steps", rollback: "rollback", ended: "ended early", changed: "changed",
  revised: "length", started: "started", paused: "paused", finished: "finished",
};
// Groups of curves: title, what to look for, the columns of log.jsonl that belong to it.
const GROUPS = [
  ["Losses", "Both move and neither goes to zero for long. A loss says nothing about quality.", (name) => name.startsWith("loss_")],
  ["What D thinks", "Real and generated should stay close: then G still learns from D.", (name) => /^(d_|score_|accuracy_)/.test(name)],
  ["Gradients", "A gradient that falls to zero teaches nothing; one that explodes breaks the run.", (name) => name.startsWith("grad_norm_")],
  ["Updates of the weights", "The share of its size by which each network changes in a step.", (name) => name.startsWith("update_")],
  ["Penalties and augmentation", "Terms that keep D smooth, and how strongly D's inputs are changed.", (name) => /^(penalty_|augment_)/.test(name)],
];

function pathOf(name) {
  return `runs/${encodeURIComponent(name)}`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${rest} s` : `${rest} s`;
}

const ENGLISH = new Intl.NumberFormat("en", { maximumFractionDigits: 1 }); // once: toLocaleString makes one at each call

function many(value) {
  return value === null || value === undefined ? "–" : ENGLISH.format(value);
}

function StatusBadge({ run }) {
  const [kind, words] = STATUS[run.status] ?? ["", run.status];
  return html`<${Badge} kind=${kind}>${words}<//>`;
}

function VerdictBadge({ verdict }) {
  if (!verdict) return null;
  const [kind, words] = VERDICTS[verdict] ?? ["", verdict];
  return html`<${Badge} kind=${kind}>${words}<//>`;
}

export function Place({ id, query, go, replace }) {
  const ids = useMemo(() => [...new Set(id.split(",").filter(Boolean))].slice(0, MOST_RUNS), [id]);
  return ids.length
    ? html`<${Runs} key=${id} ids=${ids} query=${query} go=${go} replace=${replace} />`
    : html`<${List} go=${go} />`;
}

// The list

function List({ go }) {
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState(null);
  const [chosen, setChosen] = useState([]);
  useEffect(() => {
    let timer = null;
    let wanted = true;
    const look = async () => {
      try {
        const answer = await getJson("runs");
        if (wanted) { setFound(answer); setProblem(null); }
      } catch (error) {
        if (wanted) setProblem(error);
      }
      if (wanted) timer = setTimeout(look, document.hidden ? 10_000 : 3000);
    };
    look();
    return () => { wanted = false; clearTimeout(timer); };
  }, []);
  if (problem && !found) return html`<${Notice} kind="bad">${problem.message}<//>`;
  if (!found) return html`<p class="soft">Looking for runs …</p>`;
  const choose = (name, on) => setChosen((now) => (on ? [...now, name].slice(-MOST_RUNS) : now.filter((each) => each !== name)));
  return html`<div class="stack">
    <div class="heading"><h1>Runs</h1>
      <div class="push row"><${Button} kind="main" disabled=${chosen.length < 2} onClick=${() => go("watch", chosen.join(","))}>
        Compare ${chosen.length > 1 ? chosen.length : ""} side by side<//></div></div>
    ${problem && html`<${Notice} kind="warn">${problem.message}<//>`}
    ${!found.runs.length && html`<${Notice}>There is no run here yet. Start one in a terminal, and it appears by itself:
      gansmith train PHOTOS<//>`}
    <ul class="cards runs">${found.runs.map((run) => html`<li key=${run.id} class="panel run">
      <a class="open" href=${`#/watch/${encodeURIComponent(run.id)}`}>
        ${run.preview === null ? html`<span class="picture none"></span>`
          : html`<img class="picture" src=${address(`${pathOf(run.id)}/snapshots/${run.preview}.png`)} alt="" loading="lazy" />`}
        <span class="words"><b>${run.id}</b>
          <span class="soft small">${[run.recipe, run.data].filter(Boolean).join(" on ")}</span></span></a>
      ${run.problem ? html`<${Notice} kind="warn">${run.problem}<//>` : html`
        <div class="row"><${StatusBadge} run=${run} /><${VerdictBadge} verdict=${run.verdict} /></div>
        <progress max="1" value=${run.schedule_kimg ? Math.min(1, run.kimg / run.schedule_kimg) : 0} aria-label=${`Progress of ${run.id}`}></progress>
        <p class="small numbers">${many(run.kimg)} of ${many(run.schedule_kimg)} kimg${run.status === "training" ? `, ${duration(run.eta_sec)} left` : ""}</p>
        <${Check} label=${`Compare ${run.id}`} checked=${chosen.includes(run.id)} onChange=${(on) => choose(run.id, on)} />`}
    </li>`)}</ul>
  </div>`;
}

// What is known of the runs, kept up to date by server-sent events

function useRuns(ids) {
  const [runs, setRuns] = useState({});
  useEffect(() => {
    const changes = []; // taken over together: each drawing of the page draws all charts in sight
    let timer = null;
    let pause = SOONEST_MS;
    let drawn = -Infinity;
    const flush = () => {
      clearTimeout(timer);
      timer = null;
      const found = changes.splice(0);
      const began = drawn = performance.now();
      setRuns((old) => found.reduce((all, [name, change]) => {
        const now = all[name] ?? {};
        return { ...all, [name]: { ...now, ...(typeof change === "function" ? change(now) : change) } };
      }, old));
      requestAnimationFrame(() => setTimeout(() => {
        pause = Math.min(LATEST_MS, 2 * pause, Math.max(SOONEST_MS, REST * (performance.now() - began)));
      }));
    };
    const update = (name, change, now = false) => {
      changes.push([name, change]);
      if (now) flush();
      else timer ??= setTimeout(flush, Math.max(SOONEST_MS, drawn + pause - performance.now()));
    };
    const taken = ({ previews, rows, meanings }) => ({ previews, snapshots: rows, meanings });
    const shown = {}; // the status of each run
    const loaded = new Set(); // or being loaded
    const load = async (name) => {
      loaded.add(name);
      try {
        const [details, snapshots] = await Promise.all([getJson(pathOf(name)), getJson(`${pathOf(name)}/snapshots`)]);
        update(name, { details, state: details, events: details.events, ...taken(snapshots), problem: null });
      } catch (problem) {
        loaded.delete(name);
        update(name, { problem: problem.message });
      }
      flush();
    };
    const gone = new Set();
    const close = listen("events", { // one stream for all runs: a browser keeps six connections to a server
      state: ({ run, ...state }) => { // the first thing that a stream tells of a run: what comes after it is not missed
        if (!loaded.has(run)) load(run);
        update(run, { state, problem: null }, state.status !== shown[run]);
        shown[run] = state.status;
      },
      rows: ({ run, rows }) => update(run, (old) => ({ fresh: [...(old.fresh ?? []), ...rows].slice(-MOST_FRESH), count: (old.count ?? 0) + 1 })),
      reset: ({ run }) => { load(run); update(run, (old) => ({ epoch: (old.epoch ?? 0) + 1, fresh: [] })); },
      events: ({ run, events }) => {
        update(run, { events });
        const last = events.at(-1);
        if (last) say(`${run}: ${EVENTS[last.kind] ?? last.kind}. ${last.message}`);
      },
      snapshots: ({ run, ...snapshots }) => update(run, taken(snapshots)),
      failure: ({ run, message }) => update(run, { failure: message }, true),
      gone: ({ run, message }) => {
        gone.add(run);
        if (gone.size === ids.length) close();
        update(run, { problem: message }, true);
      },
    }, {
      query: ids.map((name) => ["run", name]),
      rests: true,
      onState: (link) => {
        for (const name of ids) {
          if (link === "waiting" && !loaded.has(name)) load(name); // without a stream the page shows what there is
          update(name, { link });
        }
      },
    });
    return () => { clearTimeout(timer); close(); };
  }, [ids.join(",")]);
  return runs;
}

/** Return {name: {kimg, columns, ...}} of some columns of all runs between two kimg; new rows are added at the end. */
function useRows(ids, runs, columns, range) {
  const [tables, setTables] = useState({});
  const [thinned, setThinned] = useState(0);
  const wanted = columns.join(",");
  const epochs = ids.map((name) => runs[name]?.epoch ?? 0).join(",");
  useEffect(() => {
    if (!wanted) return undefined;
    const control = new AbortController();
    const query = { columns: wanted, points: POINTS, from: range?.[0], to: range?.[1] };
    const load = async (name) => {
      try {
        const table = await getJson(`${pathOf(name)}/rows`, query, control.signal);
        setTables((old) => ({ ...old, [name]: table }));
      } catch {
        // the run's own notice says it
      }
    };
    for (const name of ids) load(name);
    return () => control.abort();
  }, [ids.join(","), wanted, range?.[0], range?.[1], epochs, thinned]);
  useEffect(() => {
    if (!range && ids.some((name) => tables[name]?.kimg.length > MOST_POINTS)) setThinned(thinned + 1);
  }, [tables]);
  useEffect(() => {
    if (range) return;
    setTables((old) => {
      const next = { ...old };
      for (const name of ids) {
        const table = old[name];
        const fresh = runs[name]?.fresh;
        if (!table || !fresh || table.taken === fresh) continue;
        const last = table.kimg.at(-1) ?? -1;
        const rows = fresh.filter((row) => row.kimg > last);
        const add = (values, column) => [...values, ...rows.map((row) => row[column] ?? null)];
        next[name] = {
          ...table, taken: fresh, kimg: add(table.kimg, "kimg"), rows: (table.rows ?? 0) + rows.length,
          columns: Object.fromEntries(Object.entries(table.columns).map(([column, each]) => [column,
            Object.fromEntries(Object.entries(each).map(([kind, values]) => [kind, add(values, column)]))])),
        };
      }
      return next;
    });
  }, [ids.map((name) => runs[name]?.count ?? 0).join(",")]);
  return tables;
}

// One or more runs

function Runs({ ids, query, go, replace }) {
  const runs = useRuns(ids);
  const [allowed, setAllowed] = useState(false);
  const [time, setTime] = useState(query.has("kimg") ? Number(query.get("kimg")) : null); // null: follow the newest
  const timeNow = useRef(time); // two keys can come before the next drawing
  timeNow.current = time;
  const [playing, setPlaying] = useState(false);
  const [weights, setWeights] = useState("ema");
  const [withReal, setWithReal] = useState(false);
  useEffect(() => { getJson("runs").then((found) => setAllowed(found.allow_control), () => {}); }, []);

  const known = ids.filter((name) => runs[name]?.details);
  const per = (name) => { // kimg of an iteration
    const { kimg, iteration, schedule_kimg: all, iterations } = runs[name].state;
    return iterations ? all / iterations : iteration ? kimg / iteration : 0;
  };
  const steps = useMemo(() => [...new Set(known.flatMap((name) => (runs[name].previews ?? []).map((each) => each * per(name))))].sort((a, b) => a - b), [runs]);
  const end = Math.max(0, ...known.map((name) => runs[name].state.kimg), ...steps);
  const place = (moment) => (moment === null ? end : Math.min(moment, end));
  const at = place(time);
  const move = (kimg) => {
    const next = kimg >= end ? null : Math.max(0, kimg);
    timeNow.current = next;
    setTime(next);
    const wanted = new URLSearchParams();
    if (next !== null) wanted.set("kimg", String(Number(next.toFixed(2))));
    replace("watch", ids.join(","), wanted);
  };
  const step = (by) => {
    const last = steps.findLastIndex((each) => each <= place(timeNow.current) + 1e-9);
    move(steps[Math.min(steps.length - 1, Math.max(0, last + by))] ?? 0);
  };
  const stepNow = useRef(step);
  stepNow.current = step;
  useEffect(() => {
    if (!playing) return undefined;
    const timer = setInterval(() => stepNow.current(1), 200);
    return () => clearInterval(timer);
  }, [playing]);
  useEffect(() => { if (playing && time === null) setPlaying(false); }, [time]);
  const play = () => {
    if (!playing && time === null) move(steps[0] ?? 0);
    setPlaying(!playing);
  };
  useHotkeys({
    ArrowLeft: ["One snapshot back", () => step(-1)], ArrowRight: ["One snapshot on", () => step(1)],
    Home: ["The first snapshot", () => move(0)], End: ["Follow the newest", () => move(end)],
    " ": ["Play or stop the film", play],
  });

  return html`<div class="stack">
    <div class="heading"><h1>${ids.length > 1 ? `${ids.length} runs side by side` : ids[0]}</h1>
      <div class="push row"><${Button} onClick=${() => go("watch")}>All runs<//></div></div>
    ${ids.filter((name) => runs[name]?.problem).map((name) => html`<${Notice} key=${name} kind="bad">${name}: ${runs[name].problem}<//>`)}
    ${ids.filter((name) => runs[name]?.failure).map((name) => html`<${Notice} key=${name} kind="bad">${name} could not be resumed: ${runs[name].failure}<//>`)}
    ${known.some((name) => runs[name].link === "waiting") && html`<${Notice} kind="warn">The connection is lost. Trying again …<//>`}
    <section class="panel time" aria-label="Time">
      <div class="row">
        <${Button} kind="quiet" label="One snapshot back" title="Key: ArrowLeft" onClick=${() => step(-1)}>‹<//>
        <${Button} label=${playing ? "Stop the film" : "Play the film"} title="Key: Space" pressed=${playing} disabled=${steps.length < 2} onClick=${play}>${playing ? "❚❚" : "▶"}<//>
        <${Button} kind="quiet" label="One snapshot on" title="Key: ArrowRight" onClick=${() => step(1)}>›<//>
        <${Button} pressed=${time === null} onClick=${() => move(end)}>Newest<//>
        <div class="grow"><${Slider} label="Time of all pictures and curves" value=${at} min=${0} max=${end || 1} step=${end / 2000 || 0.001} onInput=${move}
          format=${(value) => `${many(value)} kimg`} /></div>
      </div>
      ${known.map((name) => html`<${TimeLine} key=${name} name=${ids.length > 1 ? name : ""} run=${runs[name]} at=${at} end=${end} onPick=${move} />`)}
    </section>
    <div class=${ids.length > 1 ? "halves" : "split"}>
      ${known.map((name) => html`<${Grid} key=${name} name=${name} run=${runs[name]} at=${at} per=${per(name)} weights=${weights} withReal=${withReal}
        tools=${html`<${Select} label="Weights" hideLabel value=${weights} options=${[["ema", "averaged weights"], ["raw", "raw weights"]]} onChange=${setWeights} />
          <${Button} pressed=${withReal} onClick=${() => setWithReal(!withReal)}>Real<//>`} />`)}
      ${ids.length === 1 && known.length === 1 && html`<${About} name=${ids[0]} run=${runs[ids[0]]} allowed=${allowed} />`}
    </div>
    ${ids.length > 1 && html`<div class="halves">${known.map((name) => html`<${About} key=${name} name=${name} run=${runs[name]} allowed=${allowed} />`)}</div>`}
    ${known.length > 0 && html`<${Curves} ids=${known} runs=${runs} at=${at} onPick=${move} />`}
    ${known.length > 0 && html`<${Metrics} ids=${known} runs=${runs} at=${at} />`}
    ${known.length > 1 && html`<${Differences} ids=${known} runs=${runs} />`}
    <div class=${known.length > 1 ? "halves" : "stack"}>${known.map((name) => html`<${EventLog} key=${name} name=${name} run=${runs[name]} onPick=${move} />`)}</div>
  </div>`;
}

/** Say why a run has no verdict at a time. */
function noVerdict({ state }, last, first) {
  if (last) return "This snapshot has no verdict.";
  return first ? `No verdict here: the first snapshot is at ${many(first.kimg)} kimg.` : state.no_verdict;
}

/** The verdict of each snapshot as a coloured line, and events as marks. */
function TimeLine({ name, run, at, end, onPick }) {
  const rows = run.snapshots ?? [];
  const share = (kimg) => `${end ? (100 * kimg) / end : 0}%`;
  const marks = (run.events ?? []).filter((each) => !["started", "revised"].includes(each.kind));
  const last = rows.findLast((row) => row.kimg <= at + 1e-9);
  return html`<div class="timeline">
    ${name && html`<span class="small">${name}</span>`}
    <div class="track" aria-hidden="true">
      ${rows.map((row, index) => {
        const before = index ? rows[index - 1].kimg : 0;
        const [kind] = VERDICTS[row.verdict] ?? [""];
        return html`<i key=${row.iteration} class=${`piece ${kind}`} style=${{ left: share(before), width: share(row.kimg - before) }} title=${`${many(row.kimg)} kimg: ${row.verdict}`}></i>`;
      })}
      ${marks.map((mark, index) => html`<i key=${index} class="mark" style=${{ left: share(mark.kimg) }} title=${`${many(mark.kimg)} kimg: ${mark.message || EVENTS[mark.kind]}`} onClick=${() => onPick(mark.kimg)}></i>`)}
      <i class="now" style=${{ left: share(at) }}></i>
    </div>
    <span class="small">${last?.verdict ? html`Verdict: <${VerdictBadge} verdict=${last.verdict} />` : html`<span class="soft">${noVerdict(run, last, rows[0])}</span>`}</span>
  </div>`;
}

function Grid({ name, run, at, per, weights, withReal, tools }) {
  const previews = run.previews ?? [];
  const shown = previews.findLast((each) => each * per <= at + 1e-6) ?? previews[0];
  if (shown === undefined) return html`<${Panel} title=${name}><p class="soft">The run has written no pictures yet.</p><//>`;
  return html`<${Panel} title=${name} tools=${tools}>
    <img class="picture sharp" src=${address(`${pathOf(name)}/snapshots/${shown}.png`, { weights: weights === "ema" ? null : weights })}
      alt=${`Images that ${name} makes of the same latents at ${many(shown * per)} kimg`} />
    <p class="help numbers">Made of the same latents each time, at ${many(shown * per)} kimg (iteration ${many(shown)}).</p>
    ${withReal && html`<h3>Real images</h3><img class="picture sharp" src=${address(`${pathOf(name)}/snapshots/real.png`)} alt=${`Real images of the data of ${name}`} />`}
  <//>`;
}

function About({ name, run, allowed }) {
  const { state, details } = run;
  const [asked, setAsked] = useState("");
  const [problem, setProblem] = useState("");
  const [sure, setSure] = useState(false);
  useEffect(() => { setAsked(""); }, [state.status]);
  const ask = async (action) => {
    setProblem("");
    setAsked(action);
    try {
      await sendJson(`${pathOf(name)}/${action}`);
    } catch (error) {
      setAsked("");
      setProblem(error.message);
    }
  };
  const live = state.status === "training";
  return html`<${Panel} title=${`About ${name}`} tools=${html`<${StatusBadge} run=${state} />`}>
    <div class="stack">
      <progress max="1" value=${state.schedule_kimg ? Math.min(1, state.kimg / state.schedule_kimg) : 0} aria-label="Progress"></progress>
      <${Facts} values=${[
        ["Left", live ? duration(state.eta_sec) : "–"],
        ["Shown so far", `${many(state.kimg)} of ${many(state.schedule_kimg)} kimg`],
        ["Iteration", `${many(state.iteration)} of ${many(state.iterations)}`],
        ["Speed", state.img_per_sec ? `${many(state.img_per_sec)} images/s` : "–"],
        ["Memory", state.memory_mb ? `${many(state.memory_mb)} MB` : "–"],
        ["Recipe", state.recipe], ["Data", state.data], ["Seed", state.seed], ["Started", (state.created ?? "").replace("T", " ").slice(0, 16)],
        ...(state.ended_by ? [["Ended by", (VERDICTS[state.ended_by] ?? ["", state.ended_by])[1]]] : []),
      ]} />
      ${allowed && html`<div class="row">
        <${Button} disabled=${!live || asked !== ""} onClick=${() => ask("pause")}>Pause and save<//>
        <${Button} disabled=${live || state.status === "finished" || asked !== ""} onClick=${() => ask("resume")}>Resume<//>
        <${Button} disabled=${!live || asked === "stop"} onClick=${() => setSure(true)}>Stop now<//>
        ${asked && html`<span class="soft small">${{ pause: "Saving after this step …", resume: "Starting …", stop: "Stopping …" }[asked]}</span>`}
      </div>`}
      ${problem && html`<${Notice} kind="bad">${problem}<//>`}
      <details><summary>The whole recipe</summary><${Facts} values=${Object.entries(details.recipe_values).map(([path, value]) => [path, String(value)])} /></details>
    </div>
    <${Dialog} title=${`Stop ${name} now?`} open=${sure} onClose=${() => setSure(false)}>
      <p>It ends at once. What it has learnt since its last checkpoint is lost; it can be resumed from there.</p>
      <div class="row"><${Button} kind="main" onClick=${() => { setSure(false); ask("stop"); }}>Stop without saving<//></div>
    <//>
  <//>`;
}

// Curves

function Curves({ ids, runs, at, onPick }) {
  const [smooth, setSmooth] = useState(remembered("watch.smooth", 0.6));
  const [log, setLog] = useState(false);
  const [range, setRange] = useState(null);
  const columns = useMemo(() => [...new Set(ids.flatMap((name) => runs[name].details.columns))], [ids.map((name) => runs[name].details.columns.join()).join()]);
  const groups = GROUPS.map(([title, help, fits]) => [title, help, columns.filter(fits)]).filter(([, , own]) => own.length);
  const tables = useRows(ids, runs, groups.flatMap(([, , own]) => own), range);
  const marks = useMemo(() => ids.flatMap((name) => (runs[name].events ?? []).filter((each) => ["rollback", "health", "ended", "changed"].includes(each.kind))
    .map((each) => ({ x: each.kimg, colour: each.kind === "health" ? "soft" : "bad" }))), ids.map((name) => runs[name].events));
  const zoom = (from, to) => setRange(from === null ? null : [from, to]);
  const loaded = ids.filter((name) => tables[name]);
  const partly = loaded.some((name) => !tables[name].whole);
  const each = Math.max(1, ...loaded.map((name) => tables[name].rows_in_point));
  return html`<${Panel} title="Curves" help="Drag over a chart to zoom all of them, double-click to see everything, click to move the time slider there."
      tools=${html`<${Check} label="Log axis" checked=${log} onChange=${setLog} />${range && html`<${Button} onClick=${() => zoom(null, null)}>Whole run<//>`}`}>
    <div class="row"><div class="grow"><${Slider} label="Smoothing" value=${smooth} min=${0} max=${0.98} step=${0.02} format=${(value) => value.toFixed(2)}
      onInput=${(value) => { setSmooth(value); remember("watch.smooth", value); }} /></div></div>
    ${partly && html`<p class="help">The log is long and still being read: these are single rows of it. All of them follow in a moment.</p>`}
    ${!partly && each > 1 && html`<p class="help">Each point stands for ${many(each)} rows of the log: their mean, and as a band their lowest and highest value.</p>`}
    <div class="halves charts">${groups.map(([title, help, own]) => html`<div key=${title} class="stack tight"><h3>${title}</h3><p class="help">${help}</p>
      <${CurveChart} title=${title} ids=${loaded} tables=${tables} columns=${own} smooth=${smooth} log=${log} at=${at} marks=${marks} onRange=${zoom} onPick=${onPick} /></div>`)}</div>
  <//>`;
}

function CurveChart({ title, ids, tables, columns, smooth, log, at, marks, onRange, onPick }) {
  const { table, series } = useMemo(() => {
    const parts = [];
    const made = [];
    ids.forEach((name, run) => {
      const source = tables[name];
      const own = columns.filter((column) => source.columns[column]);
      const values = [];
      own.forEach((column, index) => {
        const found = source.columns[column];
        const order = column.endsWith("discriminator") ? 0 : column.endsWith("generator") ? 1 : index; // one colour for each network
        const colour = COLOURS[(ids.length > 1 ? run * 2 + (order % 2) : order) % COLOURS.length];
        const words = column.replace(/^(loss|grad_norm|update|penalty)_/, "").replaceAll("_", " ");
        const label = ids.length > 1 ? `${name}: ${words}` : words;
        const clean = (list) => (log ? list.map((each) => (each === null || each <= 0 ? null : each)) : list);
        const dash = index > 1 ? [5, 3] : undefined;
        if (found.min && !smooth) {
          values.push(clean(found.min), clean(found.max));
          const place = made.length;
          made.push({ label: `${label} low`, colour, hidden: true }, { label: `${label} high`, colour, hidden: true, bandTo: place });
        } else if (smooth) {
          values.push(clean(found.mean));
          made.push({ label: `${label} raw`, colour, faint: true });
        }
        values.push(smoothed(clean(found.mean), smooth));
        made.push({ label, colour, dash });
      });
      parts.push([source.kimg, ...values]);
    });
    return { table: parts.length ? joined(parts.map((part) => increasing(part))) : [[]], series: made };
  }, [ids.join(), tables, columns.join(), smooth, log]);
  if (!series.length) return html`<p class="soft small">No rows yet.</p>`;
  return html`<${Chart} label=${title} table=${table} series=${series} log=${log} at=${at} marks=${marks} sync="watch" onRange=${onRange} onPick=${onPick} />`;
}

/** uPlot needs x that grows; a row that a rollback wrote twice is shown once. */
function increasing(part) {
  const [x] = part;
  const kept = [];
  let last = -Infinity;
  x.forEach((value, index) => { if (value !== null && value > last) { kept.push(index); last = value; } });
  return kept.length === x.length ? part : part.map((values) => kept.map((index) => values[index]));
}

// Metrics, differences, events

function Metrics({ ids, runs, at }) {
  const all = useMemo(() => [...new Set(ids.flatMap((name) => (runs[name].snapshots ?? []).flatMap((row) => Object.keys(row.metrics))))], ids.map((name) => runs[name].snapshots));
  const meanings = Object.assign({}, ...ids.map((name) => runs[name].meanings));
  const evaluated = ids.filter((name) => runs[name].details.evaluation);
  const charts = useMemo(() => all.map((column) => {
    const parts = [];
    const series = [];
    ids.forEach((name, run) => {
      const rows = (runs[name].snapshots ?? []).filter((row) => column in row.metrics);
      if (!rows.length) return;
      const colour = COLOURS[(run * 2) % COLOURS.length];
      const values = [rows.map((row) => row.kimg)];
      if (rows.some((row) => row.intervals[column])) {
        const place = series.length;
        values.push(rows.map((row) => row.intervals[column]?.[0] ?? null), rows.map((row) => row.intervals[column]?.[1] ?? null));
        series.push({ label: `${name} low`, colour, hidden: true }, { label: `${name} high`, colour, hidden: true, bandTo: place });
      }
      values.push(rows.map((row) => row.metrics[column]));
      series.push({ label: name, colour });
      parts.push(increasing(values));
    });
    return [column, joined(parts), series];
  }), [all, ...ids.map((name) => runs[name].snapshots)]);
  if (!all.length && !evaluated.length) return null;
  const now = ids.map((name) => (runs[name].snapshots ?? []).findLast((row) => row.kimg <= at + 1e-9));
  return html`<${Panel} title="Metrics of samples" help="Measured on samples at each snapshot. A band or a bracket is a 95 % interval: shares of so many images are no more exact than that.">
    <div class="stack">
      ${all.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Metrics at the time of the slider"><table>
        <thead><tr><th scope="col">At ${many(at)} kimg</th>${ids.map((name) => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
        <tbody>${all.map((column) => html`<tr key=${column}><th scope="row">${meanings[column].title} <span class="soft small">${column}</span></th>
          ${now.map((row, index) => html`<td key=${ids[index]}>${row && column in row.metrics ? short(row.metrics[column]) : "–"}
            ${row?.intervals[column] && html` <span class="soft small">[${short(row.intervals[column][0])}, ${short(row.intervals[column][1])}]</span>`}</td>`)}</tr>`)}</tbody></table></div>`}
      ${evaluated.map((name) => html`<div key=${name} class="scroll" tabindex="0" role="region" aria-label=${`Evaluation of ${name}`}><table>
        <caption class="small">Evaluation of ${name}, with one standard deviation</caption>
        <tbody>${Object.entries(runs[name].details.evaluation.numbers).map(([metric, number]) => html`<tr key=${metric}><th scope="row">${metric}</th>
          <td>${short(number.value)} ± ${short(number.deviation)} <span class="soft small">${number.over ?? ""}</span></td></tr>`)}</tbody></table></div>`)}
      <div class="halves charts">${charts.map(([column, table, series]) => html`<div key=${column} class="stack tight">
        <h3>${meanings[column].title}</h3><p class="help">${meanings[column].asks} ${meanings[column].read}</p>
        <${Chart} label=${column} table=${table} series=${series} at=${at} sync="watch" height=${150} /></div>`)}</div>
      ${ids.map((name, index) => now[index] && Object.keys(now[index].modes).length > 0 && html`<${Modes} key=${name} name=${name} modes=${now[index].modes} />`)}
    </div>
  <//>`;
}

function Modes({ name, modes }) {
  const rows = Object.entries(modes);
  const most = Math.max(1e-9, ...rows.flatMap(([, pair]) => pair));
  return html`<details><summary>Modes of ${name}: which kinds of images it makes (${rows.filter(([, [real, made]]) => made < real / 10).length} of ${rows.length} hardly ever)</summary>
    <ul class="modes">${rows.map(([mode, [real, made]]) => html`<li key=${mode}><span>${mode}</span>
      <span class="bars" role="img" aria-label=${`real ${(100 * real).toFixed(1)} %, generated ${(100 * made).toFixed(1)} %`}>
        <i class="real" style=${{ width: `${(100 * real) / most}%` }}></i><i class="fake" style=${{ width: `${(100 * made) / most}%` }}></i></span></li>`)}</ul>
    <p class="help">Upper bar: share of the real images. Lower bar: share of the generated ones.</p></details>`;
}

function Differences({ ids, runs }) {
  const recipes = ids.map((name) => runs[name].details.recipe_values);
  const paths = [...new Set(recipes.flatMap(Object.keys))].filter((path) => new Set(recipes.map((each) => JSON.stringify(each[path] ?? null))).size > 1).sort();
  return html`<${Panel} title="Where the recipes differ">
    ${paths.length === 0 ? html`<p class="soft">Nowhere: the recipes are the same.</p>` : html`<div class="scroll" tabindex="0" role="region" aria-label="Differences of the recipes"><table>
      <thead><tr><th scope="col">Setting</th>${ids.map((name) => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
      <tbody>${paths.map((path) => html`<tr key=${path}><th scope="row"><code>${path}</code></th>
        ${recipes.map((each, index) => html`<td key=${ids[index]}>${each[path] === undefined ? html`<span class="soft">absent</span>` : String(each[path])}</td>`)}</tr>`)}</tbody></table></div>`}
  <//>`;
}

function EventLog({ name, run, onPick }) {
  const events = [...(run.events ?? [])].reverse();
  return html`<${Panel} title=${`Events of ${name}`} help="The newest comes first. New ones appear by themselves.">
    ${events.length === 0 ? html`<p class="soft">Nothing has happened yet.</p>` : html`<ol class="events" tabindex="0" aria-label=${`Events of ${name}`}>${events.map((each, index) => html`<li key=${index}>
      <${Button} kind="quiet" label=${`Go to ${many(each.kimg)} kimg`} onClick=${() => onPick(each.kimg)}>${many(each.kimg)} kimg<//>
      <span>${each.verdict ? html`<${VerdictBadge} verdict=${each.verdict} /> ` : html`<b>${EVENTS[each.kind] ?? each.kind}</b> `}${each.message}
        ${each.utc && html`<span class="soft small"> ${new Date(each.utc).toLocaleString()}</span>`}</span></li>`)}</ol>`}
  <//>`;
}
