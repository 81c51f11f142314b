// The tools of Explore beside the wall: a plane of seeds, a walk between pins, sums of pins, the latent of a photo.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { Button, Check, FileButton, Notice, Panel, Progress, Slider, saveFile, useHotkeys } from "./ui.js";
import { Frame, Picture, paint } from "./picture.js";
import { classAt, labelOf, mix } from "./latents.js";
import { classKey, keyOf, nameOf, stateOf } from "./state.js";

const PLANE_ROWS = 1000; // seeds in a row of the plane
const CELL_PX = 180; // to drag from one seed to the next
const MOST_STOPS = 24;
const MOST_FRAMES = 240;

/** Return the state of a point of the plane: the four seeds around it, weighted by nearness. */
export function planeState(wall, [x, y], label) {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  const [right, down] = [x - column, y - row];
  const around = [[0, 0, (1 - right) * (1 - down)], [1, 0, right * (1 - down)], [0, 1, (1 - right) * down], [1, 1, right * down]];
  const wrap = (at) => ((at % PLANE_ROWS) + PLANE_ROWS) % PLANE_ROWS;
  const seeds = [];
  const weights = [];
  for (const [across, along, weight] of around) {
    const rounded = Math.round(weight * 1e4) / 1e4;
    if (rounded > 0) {
      seeds.push(`${wall}:${wrap(row + along) * PLANE_ROWS + wrap(column + across)}`);
      weights.push(rounded);
    }
  }
  return stateOf(seeds[0], { seeds, weights: seeds.length === 1 ? [1] : weights, labels: label });
}

/** A plane with a seed at every whole number of both axes, to drag in. */
export function Plane({ engine, model, page, change, choose, setProblem }) {
  const { at, wall } = page;
  const label = useMemo(() => {
    if (!model.classes) return null;
    if (page.current?.labels) return page.current.labels;
    const name = page.current && !page.current.latent ? model.classes[labelOf(page.current.seeds[0], model.classes.length)] : model.classes[0];
    return { [classKey(name, model.classes)]: 1 };
  }, [page.current && keyOf(page.current), page.wallClass]);
  const state = useMemo(() => ({ ...planeState(wall, at, label), truncation: page.wallTruncation }), [wall, at, label, page.wallTruncation]);
  const corners = useMemo(() => [[0, 0], [1, 0], [0, 1], [1, 1]].map(([across, along]) => ({
    ...planeState(wall, [Math.floor(at[0]) + across, Math.floor(at[1]) + along], label), truncation: page.wallTruncation,
  })), [wall, Math.floor(at[0]), Math.floor(at[1]), label, page.wallTruncation]);
  const held = useRef(null);
  const round = (place) => place.map((each) => Math.round(each * 1e3) / 1e3);
  const go = (x, y) => change({ at: round([x, y]) }, "plane");
  const onKeyDown = (event) => {
    const size = event.shiftKey ? 1 : 0.1;
    const step = { ArrowLeft: [-size, 0], ArrowRight: [size, 0], ArrowUp: [0, -size], ArrowDown: [0, size] }[event.key];
    if (step) {
      event.preventDefault();
      change((now) => ({ at: round([now.at[0] + step[0], now.at[1] + step[1]]) }), "plane");
    } else if (event.key === "Enter") choose(state, "from the plane");
  };
  const share = (across, along) => {
    const [right, down] = [at[0] - Math.floor(at[0]), at[1] - Math.floor(at[1])];
    return Math.round(100 * (across ? right : 1 - right) * (along ? down : 1 - down));
  };
  const corner = (place, across, along) => html`<figure class=${`corner ${place}`}><${Picture} engine=${engine} state=${corners[2 * along + across]} onProblem=${setProblem} />
    <figcaption class="small numbers">${share(across, along)} %</figcaption></figure>`;
  return html`<${Panel} title="A plane of seeds" help="A seed lies at every corner. Drag (or use the arrow keys, with Shift for a whole step): the image is a mix of the four seeds around it, weighted by nearness."
    tools=${html`<${Button} kind="main" onClick=${() => choose(state, "from the plane")}>Choose this image<//><${Button} onClick=${() => go(Math.round(at[0]), Math.round(at[1]))}>To the nearest seed<//>`}>
    <div class="seed-plane">
      ${corner("north-west", 0, 0)}${corner("north-east", 1, 0)}
      <div class="plane-surface" role="application" tabindex="0" aria-label="Plane of seeds: arrow keys move, Enter chooses the image" aria-describedby="plane-at"
        onKeyDown=${onKeyDown}
        onPointerDown=${(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          held.current = [event.clientX, event.clientY, ...at];
        }}
        onPointerMove=${(event) => {
          if (!held.current) return;
          const [x, y, left, top] = held.current;
          go(left - (event.clientX - x) / CELL_PX, top - (event.clientY - y) / CELL_PX);
        }}
        onPointerUp=${() => { held.current = null; }} onPointerCancel=${() => { held.current = null; }}>
        <${Picture} engine=${engine} state=${state} label="The image at this point of the plane" onProblem=${setProblem} />
      </div>
      ${corner("south-west", 0, 1)}${corner("south-east", 1, 1)}
    </div>
    <p class="small soft numbers" id="plane-at">Column ${at[0].toFixed(2)}, row ${at[1].toFixed(2)}, of the plane of wall ${wall}</p>
  <//>`;
}

/** A walk through the pins: play it, scrub it, save it. */
export function Walk({ engine, model, page, change }) {
  const stops = page.pins.slice(0, MOST_STOPS).map((pin) => pin.state);
  const { frames: count, closed } = page;
  const [state, setState] = useState({ frames: null, problem: null });
  const [frame, setFrame] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(20);
  const key = stops.map(keyOf).join(" ");
  const most = Math.min(MOST_FRAMES, engine.mostFrames ?? MOST_FRAMES);
  const needed = Math.max(Math.min(count, most), stops.length + 1);
  useEffect(() => {
    if (stops.length < 2) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      engine.frames(stops, needed, closed, stop.signal).then(
        (frames) => { if (!stop.signal.aborted) setState({ frames, problem: null }); },
        (problem) => { if (!stop.signal.aborted) setState({ frames: null, problem }); },
      );
    }, 200);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [key, needed, closed, engine]);
  const { frames, problem } = state;
  const last = (frames?.length ?? 1) - 1;
  const shown = Math.min(frame, last);
  useEffect(() => {
    if (!playing || !frames) return undefined;
    const timer = setInterval(() => setFrame((at) => {
      if (at + 1 < frames.length) return at + 1;
      if (!closed) setPlaying(false);
      return closed ? 0 : at;
    }), 1000 / speed);
    return () => clearInterval(timer);
  }, [playing, frames, speed, closed]);
  const play = () => {
    if (!playing && frames && shown === frames.length - 1) setFrame(0);
    setPlaying(!playing);
  };
  useHotkeys({
    " ": ["Play or pause the walk", play],
    ".": ["Next frame of the walk", () => setFrame((at) => Math.min(at + 1, last))],
    ",": ["Previous frame of the walk", () => setFrame((at) => Math.max(0, Math.min(at, last) - 1))],
  });
  if (stops.length < 2) {
    return html`<${Panel} title="Walk" help="A walk turns one image into the next. Pin at least two images, then come back here."><//>`;
  }
  const saveStrip = async () => {
    const strip = document.createElement("canvas");
    strip.width = frames.length * frames[0].width;
    strip.height = frames[0].height;
    const one = document.createElement("canvas");
    frames.forEach((each, at) => {
      paint(one, each);
      strip.getContext("2d").drawImage(one, at * one.width, 0);
    });
    strip.toBlob((blob) => saveFile(blob, `${model.name}-walk.png`));
  };
  return html`<${Panel} title="Walk" help=${`Through ${stops.length} pins, from image to image in latent space.`}>
    ${problem && html`<${Notice} kind="bad">${problem.message}<//>`}
    <div class="walk">
      <div class="walk-picture"><${Frame} frames=${frames} frame=${shown} size=${model.size} label=${`Frame ${shown + 1} of ${needed}`} /></div>
      <div class="stack tight">
        <div class="row"><${Button} kind="main" hotkey="Space" disabled=${!frames} onClick=${play}>${playing ? "Pause" : "Play"}<//>
          <${Check} label="Loop" checked=${closed} onChange=${(on) => change({ closed: on })} /></div>
        <${Slider} label="Frame" min=${0} max=${needed - 1} step=${1} value=${shown} format=${(at) => `${at + 1} of ${needed}`} onInput=${(at) => { setPlaying(false); setFrame(at); }} />
        <${Slider} label="Speed" min=${2} max=${50} step=${1} value=${speed} format=${(each) => `${each} frames/s`} onInput=${setSpeed} />
        <${Slider} label="Frames" min=${8} max=${most} step=${1} value=${Math.min(count, most)} help="More frames: smaller steps." onInput=${(each) => change({ frames: each }, "frames")} />
        <div class="row"><span class="small soft">Save as</span>
          ${engine.films
            ? engine.films(stops, needed, closed, needed / speed).map(([words, link]) => html`<a class="button" key=${words} href=${link} download=${`${model.name}-walk.${/\.(\w+)\?/.exec(link)[1]}`}>${words}</a>`)
            : html`<${Button} disabled=${!frames} onClick=${saveStrip}>Strip<//>`}
        </div>
      </div>
    </div>
  <//>`;
}

/** Return the state of the mean of ``plus`` minus the mean of ``minus``, where all are latents with their labels. */
export async function sumOf(engine, model, plus, minus) {
  const parts = [...plus, ...minus];
  const weights = parts.map((_, at) => (at < plus.length ? 1 / plus.length : -1 / minus.length));
  const found = await Promise.all(parts.map((state) => engine.resolve(state)));
  let labels = null;
  if (model.classes) {
    const sums = model.classes.map((_, at) => found.reduce((sum, each, row) => sum + weights[row] * weightOf(each.labels, model.classes, at), 0));
    const shown = sums.some((each) => each > 1e-4) ? sums : model.classes.map((_, at) => weightOf(found[0].labels, model.classes, at));
    labels = Object.fromEntries(shown.map((each, at) => [classKey(model.classes[at], model.classes), Math.max(0, Math.round(each * 1e4) / 1e4)]).filter(([, each]) => each > 0));
  }
  const plain = parts.every((state) => !state.latent && state.seeds.length === 1 && !Object.keys(state.moves).length && state.truncation === parts[0].truncation);
  if (plain) {
    const seeds = parts.map((state) => state.seeds[0]);
    return stateOf(seeds[0], { seeds, weights: seeds.length === 1 ? [1] : weights.map((each) => Math.round(each * 1e4) / 1e4), truncation: parts[0].truncation, labels });
  }
  return stateOf("0", { latent: mix(found.map((each) => each.latent), weights), labels });
}

const weightOf = (labels, classes, at) => (Array.isArray(labels) || ArrayBuffer.isView(labels) ? labels[at] : Object.entries(labels ?? {})
  .reduce((sum, [name, weight]) => sum + (classAt(name, classes) === at ? weight : 0), 0));

/** Add and subtract pins. */
export function Mix({ engine, model, page, change, choose, setProblem }) {
  const [result, setResult] = useState({ key: null, state: null, problem: null });
  const byId = (id) => page.pins.find((pin) => pin.id === id);
  const plus = page.plus.map(byId).filter(Boolean);
  const minus = page.minus.map(byId).filter(Boolean);
  const key = JSON.stringify([plus, minus].map((tray) => tray.map((pin) => keyOf(pin.state))));
  useEffect(() => {
    let wanted = true;
    if (!plus.length) setResult({ key, state: null, problem: null });
    else {
      sumOf(engine, model, plus.map((pin) => pin.state), minus.map((pin) => pin.state)).then(
        (state) => { if (wanted) setResult({ key, state, problem: null }); },
        (problem) => { if (wanted) setResult({ key, state: null, problem }); },
      );
    }
    return () => { wanted = false; };
  }, [key, engine]);
  const drop = (name) => ({
    onDragOver: (event) => event.preventDefault(),
    onDrop: (event) => {
      const id = Number(/^pin (\d+)$/.exec(event.dataTransfer.getData("text/plain"))?.[1]);
      if (!byId(id)) return;
      event.preventDefault();
      change((now) => ({ [name]: [...now[name].filter((each) => each !== id), id] }));
    },
  });
  const tray = (name, title, pins) => html`<section class="tray" aria-label=${`Tray ${title}`} ...${drop(name)}>
    <h3>${title}</h3>
    ${pins.length ? html`<ul class="tray-pins">${pins.map((pin) => html`<li key=${pin.id}><div class="tile"><${Picture} engine=${engine} state=${pin.state} label=${`Pin ${pin.id}`} onProblem=${setProblem} /></div>
      <${Button} kind="quiet" label=${`Take pin ${pin.id} out`} onClick=${() => change((now) => ({ [name]: now[name].filter((id) => id !== pin.id) }))}>${pin.id} ×<//></li>`)}</ul>`
      : html`<p class="help">Drag pins here, or use ${title} below a pin.</p>`}</section>`;
  const words = `${plus.map((pin) => pin.id).join(" + ")}${minus.length ? ` − ${minus.map((pin) => pin.id).join(" − ")}` : ""}`;
  return html`<${Panel} title="Mix" help="Adds the mean of the + tray and takes away the mean of the − tray, in latent space: with + smiling, − neutral the difference is the smile."
    tools=${html`<${Button} kind="main" disabled=${!result.state || result.key !== key} onClick=${() => choose(result.state, `pins ${words}`)}>Choose the result<//>
      <${Button} disabled=${!plus.length && !minus.length} onClick=${() => change({ plus: [], minus: [] })}>Empty the trays<//>`}>
    ${result.problem && html`<${Notice} kind="warn">${result.problem.message}<//>`}
    <div class="mix">${tray("plus", "+", plus)}${tray("minus", "−", minus)}
      <section class="tray" aria-label="The sum"><h3>=</h3>${result.state && plus.length > 0
        ? html`<${Picture} engine=${engine} state=${result.state} label=${`The sum, ${nameOf(result.state)}`} onProblem=${setProblem} />` : html`<p class="help">The sum appears here.</p>`}</section></div>
  <//>`;
}

/** Find the latent of a photo. */
export function Photo({ engine, model, choose, file, onFile }) {
  const [work, setWork] = useState({ busy: false, problem: null, done: false });
  const control = useRef(null);
  const [picture, setPicture] = useState(null);
  useEffect(() => {
    if (!file) return undefined;
    const url = URL.createObjectURL(file);
    setPicture(url);
    control.current = new AbortController();
    setWork({ busy: true, problem: null, done: false });
    const { signal } = control.current;
    const onShare = (share) => setWork((old) => (old.busy ? { ...old, share } : old));
    engine.invert(file, { onShare }, signal).then(
      (found) => {
        choose(stateOf("0", { latent: found.latent, labels: labelsFound(found.labels, model) }), "found for a photo");
        setWork({ busy: false, problem: null, done: true });
      },
      (problem) => setWork({ busy: false, problem: problem.name === "AbortError" ? null : problem, done: false }),
    );
    return () => {
      control.current.abort();
      URL.revokeObjectURL(url);
    };
  }, [file]);
  return html`<${Panel} title="Photo" help="Finds the latent whose image is most like a picture of yours; then steer it like any other image. The picture stays on this machine.">
    <div class="stack">
      <div class="row"><${FileButton} kind="main" onFile=${onFile}>Choose a picture<//><span class="soft small">or drop one on the page</span></div>
      ${work.problem && html`<${Notice} kind="bad">${work.problem.message}<//>`}
      ${picture && file && html`<img class="photo" src=${picture} alt="Your picture" />`}
      ${work.busy && html`<${Progress} label="Searching; this takes from seconds to minutes" share=${work.share ?? null} />
        <div class="row"><${Button} onClick=${() => { control.current.abort(); onFile(null); }}>Stop<//></div>`}
      ${work.done && html`<${Notice} kind="good">Found: it is the chosen image now. The model draws only images like those it learnt from, so a picture of another kind comes back changed.<//>`}
    </div>
  <//>`;
}

function labelsFound(labels, model) {
  if (!model.classes || !labels) return null;
  const found = model.classes.map((name, at) => [classKey(name, model.classes), Math.round(weightOf(labels, model.classes, at) * 1e4) / 1e4]);
  return Object.fromEntries(found.filter(([, weight]) => weight > 0));
}
