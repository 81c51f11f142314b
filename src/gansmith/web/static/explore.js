// Explore a model that draws from latents: wall, plane, walk, mix, photo; steering, pins, undo. ``engine`` draws.

import { html, useCallback, useEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { Button, Facts, FileButton, NumberField, Notice, Panel, Select, Slider, Tabs, TextField, copy, remember, remembered, saveFile, say, useFileDrop, useHotkeys, useMedia } from "./ui.js";
import { blocks } from "./markdown.js";
import { Picture } from "./picture.js";
import { classAt, labelOf } from "./latents.js";
import { classKey, fromJson, fromQuery, further, keyOf, nameOf, queryOfJson, short, stateOf, toQuery } from "./state.js";
import { textOf } from "./png.js";
import { Mix, Photo, Plane, Walk } from "./explore_tools.js";

const WALL = 40; // images
const NO_TRUNCATION = 2.5; // the right end of the slider
const REACH = 6; // of a direction, in standard deviations of the latents
const TABS = [["wall", "Wall"], ["plane", "Plane"], ["walk", "Walk"], ["mix", "Mix"], ["photo", "Photo"]];
const MOST_UNDO = 200;
const ONE_STEP_MS = 700; // changes of one slider within this time are one step of undo
const REST_MS = 60; // without a change, then the next random image is drawn ahead

/** Return a random seed for a wall. */
function newSeed() {
  return 1 + crypto.getRandomValues(new Uint32Array(1))[0] % 999_999;
}

/** Return the name of a random image. */
function newName() {
  return `${newSeed()}:${newSeed() % 1000}`;
}

/** Draw ahead what is likely to be asked for next: another equal step of a slider, and the next random image. */
function useAhead(engine, current, nextRandom) {
  const trail = useRef([]);
  useEffect(() => {
    const draw = (state) => engine.generate([state]).catch(() => {}); // whoever asks for it is told
    const [before, last] = trail.current;
    trail.current = [last, current];
    const next = further(before, last, current);
    if (next) draw(next);
    const timer = setTimeout(() => draw(nextRandom), REST_MS);
    return () => clearTimeout(timer);
  }, [engine, current && keyOf(current), keyOf(nextRandom)]);
}

/** Return the names of a wall's images: for a model with classes one image of each class in turn. */
export function wallNames(seed, count, classes) {
  const turn = classes?.length && classes.length <= count ? classes.length : 0;
  return Array.from({ length: count }, (_, at) => {
    const number = turn ? (at % turn) * 8 + Math.floor(at / turn) % 8 + Math.floor(at / turn / 8) * 8 * turn : at;
    return seed ? `${seed}:${number}` : String(number);
  });
}

/** Return the page of an address, {tab, wall, current, pins, ...}; RangeError for one that cannot be. */
export function readPage(query, model) {
  const wall = Number(query.get("wall"));
  const texts = query.getAll("pin");
  const ids = (query.get("ids") ?? "").split(",").map(Number);
  const isNumbered = ids.length === texts.length && new Set(ids).size === ids.length && ids.every((id) => Number.isSafeInteger(id) && id > 0);
  const pins = texts.map((text, at) => {
    const [how, parent, ...rest] = text.split("~");
    return { id: isNumbered ? ids[at] : at + 1, how, parent: Number(parent) || null, state: fromQuery(new URLSearchParams(rest.join("~")), model) };
  }).filter((pin) => pin.state);
  const numbers = (name) => (query.get(name) ?? "").split(",").map(Number).filter((id) => pins.some((pin) => pin.id === id));
  const at = (query.get("at") ?? "").split(",").map(Number);
  return {
    tab: TABS.some(([tab]) => tab === query.get("tab")) ? query.get("tab") : "wall",
    wall: Number.isSafeInteger(wall) && wall > 0 ? wall : newSeed(),
    wallClass: model.classes?.includes(query.get("class")) ? query.get("class") : "",
    wallTruncation: Number(query.get("cut")) > 0 ? Number(query.get("cut")) : null,
    current: fromQuery(query, model),
    from: { parent: Number(query.get("from")) || null, how: query.get("how") ?? "" },
    pins, plus: numbers("plus"), minus: numbers("minus"),
    at: at.length === 2 && at.every(Number.isFinite) ? at : [0, 0],
    frames: Math.min(240, Math.max(8, Number(query.get("frames")) || 60)),
    closed: query.get("open") !== "1",
  };
}

/** Return the address of a page. */
export function writePage(page) {
  const query = page.current ? toQuery(page.current) : new URLSearchParams();
  const set = (name, value, unless) => { if (value !== unless) query.set(name, value); };
  set("tab", page.tab, "wall");
  set("wall", String(page.wall), "");
  set("class", page.wallClass, "");
  set("cut", page.wallTruncation && short(page.wallTruncation), null);
  set("from", page.from.parent && String(page.from.parent), null);
  set("how", page.from.how, "");
  for (const pin of page.pins) query.append("pin", `${pin.how}~${pin.parent ?? ""}~${keyOf(pin.state)}`);
  set("ids", page.pins.map((pin) => pin.id).join(","), page.pins.map((_, at) => at + 1).join(",")); // some were removed or moved
  set("plus", page.plus.join(","), "");
  set("minus", page.minus.join(","), "");
  set("at", page.at.map(short).join(","), "0,0");
  set("frames", String(page.frames), "60");
  set("open", page.closed ? "" : "1", "");
  return query;
}

/** Explore: ``query`` is the page's address, ``onQuery(query)`` gets the new one after each change; ``onOther(version, query)``
 * opens an image of another model, and returns whether there is one of that version. */
export function Explore({ engine, query, onQuery, onOther, heading }) {
  const model = engine.model;
  const [problem, setProblem] = useState(null);
  const [told, setTold] = useState("");
  const open = (text) => {
    try {
      return readPage(new URLSearchParams(text), model);
    } catch (error) {
      setTold(`${error.message} The address is left out.`);
      return readPage(new URLSearchParams(), model);
    }
  };
  const [page, setPage] = useState(() => open(query));
  const pageNow = useRef(page);
  pageNow.current = page;
  const written = useRef(String(query));
  const past = useRef({ back: [], forth: [], tag: "", time: 0 });

  /** Change the page. ``changes`` is an object, or a function of the page as it is now, since two clicks can come before the
   * next drawing. ``tag`` names what changes: quick changes with one tag are one step of undo; "" is no step. */
  const change = useCallback((changes, tag = "step") => {
    const old = pageNow.current;
    const next = { ...old, ...(typeof changes === "function" ? changes(old) : changes) };
    const history = past.current;
    const now = Date.now();
    if (tag && (tag === "step" || tag !== history.tag || now - history.time > ONE_STEP_MS)) {
      history.back = [...history.back.slice(1 - MOST_UNDO), old];
      history.forth = [];
    }
    if (tag) Object.assign(history, { tag, time: now });
    pageNow.current = next;
    setPage(next);
  }, []);
  const travel = (from, to, words) => {
    const history = past.current;
    if (!history[from].length) return;
    history[to].push(pageNow.current);
    pageNow.current = history[from].pop();
    history.tag = "";
    setPage(pageNow.current);
    say(words);
  };
  const undo = () => travel("back", "forth", "Undone");
  const redo = () => travel("forth", "back", "Done again");

  const untouched = page === useRef(page).current && !String(query); // a reload of an untouched page shows a new wall
  useEffect(() => {
    if (untouched) return undefined;
    const timer = setTimeout(() => {
      written.current = writePage(page).toString();
      onQuery(written.current);
    }, 150);
    return () => clearTimeout(timer);
  }, [page]);
  useEffect(() => {
    if (String(query) === written.current) return;
    written.current = String(query);
    change(open(query)); // Back, Forward, or an address that was typed
  }, [String(query)]);

  /** Choose an image; ``how`` and ``parent`` say where it comes from. */
  const choose = useCallback((state, how = "", parent = null, tag = "step") => {
    engine.generate([state]).catch(() => {}); // asked for before the page is drawn anew: its picture takes what comes
    change({ current: state, from: { parent, how } }, tag);
  }, [engine]);
  /** Change the chosen image. ``changes`` is an object, or a function of the image as it is now; null changes nothing. */
  const steer = useCallback((changes, tag) => {
    const { current, from } = pageNow.current;
    if (!current) return;
    const made = typeof changes === "function" ? changes(current) : changes;
    if (made) change({ current: { ...current, ...made }, from: { ...from, how: from.how.includes("steered") ? from.how : [from.how, "steered"].filter(Boolean).join(", ") } }, tag);
  }, []);
  const pin = () => {
    const { pins, current, from } = pageNow.current;
    if (!current || pins.length >= 40) return;
    const id = Math.max(0, ...pins.map((each) => each.id)) + 1;
    change({ pins: [...pins, { id, state: current, how: from.how, parent: from.parent }], from: { parent: id, how: "" } });
    say(`Pinned as number ${id}`);
  };
  const unpin = (id) => {
    const { pins, plus, minus } = pageNow.current;
    const without = (ids) => ids.filter((each) => each !== id);
    change({ pins: pins.filter((each) => each.id !== id), plus: without(plus), minus: without(minus) });
  };
  const download = async () => {
    const { current } = pageNow.current;
    if (!current) return;
    try {
      saveFile(await engine.file(current), `${model.name}-${nameOf(current).replace(/[^\w]+/g, "-")}.png`);
      setTold("Saved. Drop the PNG on this page to come back to this image.");
    } catch (error) {
      setProblem(error);
    }
  };
  const copyLink = async () => {
    const { current } = pageNow.current;
    if (!current) return;
    const link = engine.permalink ? engine.permalink(current) : location.href;
    setTold(await copy(link, "Link copied") ? "Link copied." : `Copy this link: ${link}`);
  };
  const newWall = () => change({ wall: newSeed(), tab: "wall" });
  const [randomName, setRandomName] = useState(newName);
  const nextRandom = stateOf(randomName, { truncation: page.wallTruncation });
  useAhead(engine, page.current, nextRandom);
  const surprise = () => {
    choose(nextRandom, "");
    setRandomName(newName());
  };
  const [photo, setPhoto] = useState(null);
  /** Take a file: a PNG of gansmith brings its state back, another picture is searched in the model. */
  const take = async (file) => {
    setTold("");
    const text = textOf(new Uint8Array(await file.arrayBuffer()), "gansmith");
    let whose = "of gansmith";
    try {
      if (text !== null) {
        const found = JSON.parse(text);
        const isOther = found.version && !(model.versions ?? [model.version]).includes(found.version);
        const made = found.model ? ` (model ${found.model})` : "";
        if (isOther) whose = `of another model${made}`;
        if (isOther && onOther?.(found.version, queryOfJson(found.states?.[0] ?? found))) return;
        const state = fromJson(found.states?.[0] ?? found, model);
        if (state) {
          choose(state, "from a PNG");
          setTold(isOther ? `${file.name} was made with other weights${made}, which are not here: this model draws another image of the same numbers.`
            : `${file.name}: its image is shown.`);
          return;
        }
      }
    } catch (error) {
      setTold(`${file.name} holds an image ${whose}, which this model cannot draw: ${error.message}`);
      return;
    }
    if (engine.invert) {
      setPhoto(file);
      change({ tab: "photo" }, "");
    } else setTold(`${file.name} holds no image of this page. Drop a PNG that was downloaded here.`);
  };
  useFileDrop(take);

  useHotkeys({
    n: ["New images on the wall", newWall], r: ["A random image", surprise], p: ["Pin the image", pin], d: ["Download the image", download],
    c: ["Copy the link", copyLink], "Ctrl+z": ["Undo", undo], z: ["Undo", undo], "Ctrl+Shift+z": ["Redo", redo], y: ["Redo", redo],
    w: ["Wall", () => change({ tab: "wall" }, "")], l: ["Plane", () => change({ tab: "plane" }, "")], k: ["Walk", () => change({ tab: "walk" }, "")],
    m: ["Mix", () => change({ tab: "mix" }, "")],
  });

  const wide = useMedia("(min-width: 900px)");
  const tabs = TABS.filter(([tab]) => tab !== "photo" || engine.invert);
  const shared = { engine, model, page, change, choose, setProblem };
  return html`<div class="explore">
    <div class="heading">${heading}
      <div class="push row">
        <${FileButton} onFile=${take}>Open a PNG${engine.invert ? " or photo" : ""}<//>
      </div>
    </div>
    ${problem && html`<${Notice} kind="bad">${problem.message}<//>`}
    ${told && html`<${Notice}>${told}<//>`}
    <div class="split explore-split">
      <div class="stack">
        <${Tabs} label="Ways to explore" value=${page.tab} options=${tabs} onChange=${(tab) => change({ tab }, "")} />
        <div role="tabpanel" aria-label=${tabs.find(([tab]) => tab === page.tab)?.[1]}>
          ${page.tab === "wall" && html`<${Wall} ...${shared} onNew=${newWall} />`}
          ${page.tab === "plane" && html`<${Plane} ...${shared} />`}
          ${page.tab === "walk" && html`<${Walk} ...${shared} />`}
          ${page.tab === "mix" && html`<${Mix} ...${shared} />`}
          ${page.tab === "photo" && engine.invert && html`<${Photo} ...${shared} file=${photo} onFile=${setPhoto} />`}
        </div>
        <${Pins} ...${shared} onRemove=${unpin} />
        <${About} model=${model} />
      </div>
      <aside class="stack steer" aria-label="The chosen image">
        <${Chosen} ...${shared} onPin=${pin} onDownload=${download} onCopy=${copyLink} onUndo=${undo} onRedo=${redo}
          canUndo=${past.current.back.length > 0} canRedo=${past.current.forth.length > 0} onSurprise=${surprise} />
        ${page.current && (wide ? html`<${Steer} ...${shared} steer=${steer} />`
          : html`<details class="panel"><summary>Steer this image</summary><div class="stack"><${Steer} ...${shared} steer=${steer} /></div></details>`)}
      </aside>
    </div>
  </div>`;
}

function Wall({ engine, model, page, change, choose, setProblem, onNew }) {
  const states = useMemo(() => {
    const label = page.wallClass ? { [classKey(page.wallClass, model.classes)]: 1 } : null;
    const names = wallNames(page.wall, WALL, page.wallClass ? null : model.classes);
    return names.map((name) => stateOf(name, { truncation: page.wallTruncation, labels: label }));
  }, [page.wall, page.wallClass, page.wallTruncation]);
  const keys = useMemo(() => states.map(keyOf), [states]);
  const chosenAt = page.current ? keys.indexOf(keyOf(page.current)) : -1;
  const grid = useRef(null);
  const take = (state) => {
    choose(state, "");
    if (!matchMedia("(min-width: 900px)").matches) requestAnimationFrame(() => document.querySelector(".steer").scrollIntoView());
  };
  // kept while the wall stays, so that steering the chosen image does not compare 40 tiles at each step
  const tiles = useMemo(() => states.map((state, at) => html`<button type="button" class="tile" key=${at} aria-pressed=${String(at === chosenAt)}
    title=${`Image ${state.seeds[0]}`} aria-label=${`Image ${state.seeds[0]}${model.classes ? `, ${classOf(state, model)}` : ""}`}
    onClick=${() => take(state)}><${Picture} engine=${engine} state=${state} onProblem=${setProblem} /></button>`), [states, chosenAt, engine]);
  const move = (event) => {
    const buttons = [...grid.current.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const columns = getComputedStyle(grid.current).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (at < 0 || !step || !buttons[at + step]) return;
    event.preventDefault();
    buttons[at + step].focus();
  };
  return html`<${Panel} title="New images" help="Each image comes from random numbers, its latent; its name stands for them. Choose one to steer it. A reload shows new ones."
    tools=${html`<${Button} kind="main" hotkey="n" onClick=${onNew}>New images<//>`}>
    <div class="row wall-tools">
      ${model.classes && html`<${Select} label="Class" value=${page.wallClass} onChange=${(name) => change({ wallClass: name }, "class")}
        options=${[["", "all classes in turn"], ...model.classes.map((name) => [name, name])]} />`}
      <${Truncation} value=${page.wallTruncation} onInput=${(cut) => change({ wallTruncation: cut }, "cut")} />
    </div>
    <div class="wall" ref=${grid} onKeyDown=${move}>
      ${tiles}
    </div>
    <p class="help">In the terminal the same images: <code>gansmith sample MODEL --seed ${page.wall}</code></p>
  <//>`;
}

/** Return the class of a state's image in words. */
export function classOf(state, model) {
  if (state.labels) {
    const all = Object.values(state.labels).reduce((sum, each) => sum + each, 0);
    return Object.entries(state.labels).filter(([, weight]) => weight > 0)
      .map(([name, weight]) => `${model.classes[classAt(name, model.classes)]}${weight === all ? "" : ` ${Math.round((100 * weight) / all)} %`}`).join(", ");
  }
  return model.classes[state.latent ? 0 : labelOf(state.seeds[0], model.classes.length)];
}

function Truncation({ value, onInput, disabled }) {
  return html`<${Slider} label="Truncation" min=${0.1} max=${NO_TRUNCATION} step=${0.05} value=${value ?? NO_TRUNCATION} disabled=${disabled}
    format=${(cut) => (cut >= NO_TRUNCATION ? "off" : cut.toFixed(2))} reset=${NO_TRUNCATION}
    help="Keeps latents near the middle. Lower: fewer failures, less variety." onInput=${(cut) => onInput(cut >= NO_TRUNCATION ? null : cut)} />`;
}

function Chosen({ engine, model, page, onPin, onDownload, onCopy, onUndo, onRedo, canUndo, canRedo, onSurprise, setProblem }) {
  const { current, from } = page;
  if (!current) {
    return html`<${Panel} title="No image chosen" help="Choose an image on the wall, or take a random one.">
      <div class="row"><${Button} hotkey="r" onClick=${onSurprise}>A random image<//>
      <${Button} onClick=${onUndo} disabled=${!canUndo}>Undo<//></div><//>`;
  }
  return html`<${Panel} kind="chosen" title=${`Image ${nameOf(current)}`} help=${lineage(from, model, current)}>
    <div class="chosen-picture"><${Picture} engine=${engine} state=${current} label=${`The chosen image, ${nameOf(current)}`} onProblem=${setProblem} /></div>
    <div class="row">
      <${Button} kind="main" hotkey="p" onClick=${onPin}>Pin<//>
      <${Button} hotkey="d" onClick=${onDownload}>Download PNG<//>
      <${Button} hotkey="c" onClick=${onCopy}>Copy link<//>
      ${engine.permalink && html`<a class="button" href=${engine.permalink(current)} target="_blank" rel="noreferrer">Permalink</a>`}
      <${Button} hotkey="z" onClick=${onUndo} disabled=${!canUndo}>Undo<//>
      <${Button} hotkey="y" onClick=${onRedo} disabled=${!canRedo}>Redo<//>
      <${Button} hotkey="r" onClick=${onSurprise}>Random<//>
    </div>
  <//>`;
}

function lineage(from, model, state) {
  return [from.parent && `from pin ${from.parent}`, from.how, model.classes && `class: ${classOf(state, model)}`].filter(Boolean).join(" · ") || "as drawn";
}

function Steer({ model, page, steer }) {
  const { current } = page;
  const move = (name, by) => steer((now) => {
    const moves = { ...now.moves, [name]: by };
    if (by === 0) delete moves[name];
    return { moves };
  }, name);
  const [extra, setExtra] = useState([]);
  const [number, setNumber] = useState(0);
  const own = [...new Set([...Object.keys(current.moves).filter((name) => name[0] === "z").map((name) => Number(name.slice(1))), ...extra])].sort((a, b) => a - b);
  const directions = model.directions ?? [];
  return html`
    <${Panel} title="Steer" tools=${html`<${Button} kind="quiet" disabled=${!Object.keys(current.moves).length && !current.labels && current.truncation === null}
      onClick=${() => steer({ moves: {}, labels: null, truncation: null }, "step")}>Reset all<//>`}>
      <div class="stack tight">
        <${Truncation} value=${current.truncation} disabled=${Boolean(current.latent)} onInput=${(truncation) => steer({ truncation }, "truncation")} />
        ${model.classes && html`<${Labels} model=${model} state=${current} onChange=${steer} />`}
      </div>
    <//>
    ${directions.length > 0 && html`<${Directions} model=${model} current=${current} move=${move} />`}
    <${Panel} title="Single numbers" help=${`An image is made from ${model.latent_dim} random numbers. Change one of them.`}>
      <div class="stack tight">
        <div class="row add-number"><${NumberField} label="Number" min=${0} max=${model.latent_dim - 1} value=${number} onChange=${setNumber} />
          <${Button} onClick=${() => setExtra((now) => [...now, number])}>Add slider<//>
          <${Button} onClick=${() => setExtra((now) => [...now, Math.floor(Math.random() * model.latent_dim)])}>Random one<//></div>
        ${own.map((at) => html`<${Slider} key=${at} label=${`Number ${at}`} min=${-4} max=${4} step=${0.05} value=${current.moves[`z${at}`] ?? 0} format=${signed}
          reset=${0} onInput=${(by) => move(`z${at}`, by)} />`)}
      </div>
    <//>`;
}

/** Sliders along the directions; a person can give them names, which this browser keeps. */
function Directions({ model, current, move }) {
  const key = `directions.${model.id}`;
  const [names, setNames] = useState(() => remembered(key, {}));
  const [naming, setNaming] = useState(false);
  const rename = (at, name) => {
    const next = { ...names, [at]: name };
    setNames(next);
    remember(key, next);
  };
  return html`<${Panel} title="Directions" help="Found without labels: the ways in which images change most. Move one to see what it means, and give it a name."
    tools=${html`<${Button} kind="quiet" pressed=${naming} onClick=${() => setNaming(!naming)}>Name them<//>`}>
    <div class="stack tight">${model.directions.map((_, at) => (naming
      ? html`<${TextField} key=${`name${at}`} label=${`Name of direction ${at + 1}`} value=${names[at] ?? ""} onChange=${(name) => rename(at, name)} />`
      : html`<${Slider} key=${at} label=${names[at] || `Direction ${at + 1}`} min=${-REACH} max=${REACH} step=${0.1}
        value=${current.moves[`dir${at}`] ?? 0} format=${signed} reset=${0} onInput=${(by) => move(`dir${at}`, by)} />`))}</div>
  <//>`;
}

const signed = (by) => `${by > 0 ? "+" : ""}${short(by)}`;

function Labels({ model, state, onChange }) {
  const { classes } = model;
  const labels = state.labels ?? {};
  const names = Object.keys(labels).filter((name) => labels[name] > 0);
  const only = names.length === 1 ? classes[classAt(names[0], classes)] : "";
  const drawn = classOf({ ...state, labels: null }, model);
  const options = [["", `as drawn (${drawn})`], ...(names.length > 1 ? [["*", "a blend"]] : []), ...classes.map((name) => [name, name])];
  const blend = (name, weight) => onChange((now) => {
    const next = { ...(now.labels ?? { [classKey(drawn, classes)]: 1 }), [classKey(name, classes)]: weight };
    return Object.values(next).some((each) => each > 0) ? { labels: next } : null;
  }, `label ${name}`);
  return html`<${Select} label="Class" value=${names.length > 1 ? "*" : only} options=${options}
      onChange=${(name) => { if (name !== "*") onChange({ labels: name ? { [classKey(name, classes)]: 1 } : null }, "label"); }} />
    ${model.mixes_labels !== false && html`<details><summary>Blend classes</summary><div class="stack tight">
      ${classes.map((name) => html`<${Slider} key=${name} label=${name} min=${0} max=${1} step=${0.05} format=${(weight) => weight.toFixed(2)}
        value=${state.labels ? labels[classKey(name, classes)] ?? 0 : Number(name === drawn)} onInput=${(weight) => blend(name, weight)} />`)}
      </div></details>`}`;
}

function Pins({ engine, model, page, change, choose, setProblem, onRemove }) {
  const { pins } = page;
  const put = (id, tray) => {
    change((now) => ({ [tray]: [...now[tray].filter((each) => each !== id), id], tab: "mix" }));
    say(`Pin ${id} is in the ${tray === "plus" ? "+" : "−"} tray of Mix`);
  };
  const shift = (id, by) => change((now) => {
    const order = [...now.pins];
    const at = order.findIndex((each) => each.id === id);
    if (order[at] && order[at + by]) [order[at], order[at + by]] = [order[at + by], order[at]];
    return { pins: order };
  });
  if (!pins.length) {
    return html`<${Panel} title="Pins" help="Pin images (key P) to keep them, to walk between them, and to add and subtract them. Pins are part of this page's address."><//>`;
  }
  return html`<${Panel} title="Pins" help="Choose one to go on from it. + and − put it into the trays of Mix; Walk goes through the pins in this order.">
    <ul class="pins">${pins.map((each, at) => html`<li key=${each.id} draggable="true"
        onDragStart=${(event) => event.dataTransfer.setData("text/plain", `pin ${each.id}`)}>
      <button type="button" class="tile" aria-label=${`Pin ${each.id}, image ${nameOf(each.state)}`} onClick=${() => choose(each.state, "", each.id)}>
        <${Picture} engine=${engine} state=${each.state} onProblem=${setProblem} /></button>
      <p class="small"><b>${each.id}</b> <span class="soft">${lineage(each, { ...model, classes: null }, each.state)}</span></p>
      <div class="row">
        <${Button} kind="quiet" label=${`Put pin ${each.id} into the + tray`} onClick=${() => put(each.id, "plus")}>+<//>
        <${Button} kind="quiet" label=${`Put pin ${each.id} into the − tray`} onClick=${() => put(each.id, "minus")}>−<//>
        <${Button} kind="quiet" label=${`Move pin ${each.id} forward`} disabled=${at === 0} onClick=${() => shift(each.id, -1)}>‹<//>
        <${Button} kind="quiet" label=${`Move pin ${each.id} back`} disabled=${at === pins.length - 1} onClick=${() => shift(each.id, 1)}>›<//>
        <${Button} kind="quiet" label=${`Remove pin ${each.id}`} onClick=${() => onRemove(each.id)}>×<//>
      </div></li>`)}</ul>
  <//>`;
}

function About({ model }) {
  const facts = [["Recipe", model.recipe], ["Size", `${model.size[0]} × ${model.size[1]} px`], ["Latent", `${model.latent_dim} numbers`],
    ["Classes", model.classes?.join(", ")], ["Parameters", model.parameters?.toLocaleString("en")], ["Made", model.created]];
  return html`<details class="panel"><summary>About this model</summary>
    <div class="stack"><${Facts} values=${facts.filter(([, text]) => text)} />
    ${typeof model.card === "string" && html`<div class="card-text docs" tabindex="0" role="region" aria-label="Model card">${blocks(model.card.replace(/^---\n.*?\n---\n+/s, ""))}</div>`}</div></details>`;
}
