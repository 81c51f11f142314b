// Parts that all places share: buttons, fields, panels, notices, dialogs, hotkeys, theme.

import { html, render, useEffect, useRef, useState } from "./vendor/preact.js";

let nextId = 0;

/** Return an id that stays the same for the life of a component. */
export function useId() {
  const id = useRef(null);
  id.current ??= `ui-${(nextId += 1)}`;
  return id.current;
}

/** A button. ``kind``: "main", "quiet" or "". ``pressed`` makes it a toggle; ``hotkey`` is told to screen readers. */
export function Button({ kind = "", pressed, hotkey, label, title, children, ...rest }) {
  return html`<button type="button" class=${kind} aria-pressed=${pressed === undefined ? undefined : String(pressed)}
    aria-keyshortcuts=${hotkey} aria-label=${label} title=${title ?? (hotkey ? `Key: ${hotkey}` : undefined)} ...${rest}>${children}</button>`;
}

/** A slider with its value, one line of help, and optionally a button that sets it back to ``reset``. */
export function Slider({ label, help, value, min, max, step = 0.01, onInput, format = (v) => v, reset, disabled, children }) {
  const id = useId();
  return html`<div class="field">
    <div class="top"><label for=${id}>${label}</label><output for=${id}>${format(value)}</output>
      ${reset !== undefined && html`<${Button} kind="quiet" label=${`Reset ${label}`} title="Back to the default" disabled=${value === reset}
        onClick=${() => onInput(reset)}>↺<//>`}${children}</div>
    <input id=${id} type="range" min=${min} max=${max} step=${step} value=${value} disabled=${disabled}
      aria-describedby=${help ? `${id}-help` : undefined} aria-valuetext=${String(format(value))}
      onInput=${(event) => onInput(Number(event.currentTarget.value))} />
    ${help && html`<p class="help" id=${`${id}-help`}>${help}</p>`}
  </div>`;
}

/** A choice from a list: ``options`` are [value, text]. */
export function Select({ label, help, value, options, onChange, disabled, hideLabel }) {
  const id = useId();
  return html`<div class="field">
    <label for=${id} class=${hideLabel ? "unseen" : ""}>${label}</label>
    <select id=${id} value=${value} disabled=${disabled} aria-describedby=${help ? `${id}-help` : undefined}
      onChange=${(event) => onChange(event.currentTarget.value)}>
      ${options.map(([each, text]) => html`<option key=${each} value=${each} selected=${each === value}>${text}</option>`)}
    </select>
    ${help && html`<p class="help" id=${`${id}-help`}>${help}</p>`}
  </div>`;
}

/** Return the properties of a field that keeps what is typed while the page is drawn anew, until the field is left. */
function useDraft(value, take) {
  const [draft, setDraft] = useState(null);
  return {
    value: draft ?? value,
    onInput: (event) => setDraft(event.currentTarget.value),
    onChange: (event) => { take(event); setDraft(null); },
    onBlur: () => setDraft(null),
  };
}

/** A number to type. ``onChange`` gets numbers within the bounds alone. */
export function NumberField({ label, help, value, min, max, step = 1, onChange, disabled }) {
  const id = useId();
  const take = (event) => {
    const number = event.currentTarget.valueAsNumber;
    if (Number.isFinite(number) && event.currentTarget.validity.valid) onChange(number);
  };
  const draft = useDraft(value, take);
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <input id=${id} type="number" min=${min} max=${max} step=${step} disabled=${disabled}
      aria-describedby=${help ? `${id}-help` : undefined} ...${draft} />
    ${help && html`<p class="help" id=${`${id}-help`}>${help}</p>`}
  </div>`;
}

/** A line of text to type. */
export function TextField({ label, help, value, onChange }) {
  const id = useId();
  const draft = useDraft(value, (event) => onChange(event.currentTarget.value.trim()));
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <input id=${id} type="text" maxlength="60" aria-describedby=${help ? `${id}-help` : undefined} ...${draft} />
    ${help && html`<p class="help" id=${`${id}-help`}>${help}</p>`}
  </div>`;
}

export function Check({ label, checked, onChange, disabled }) {
  return html`<label class="check"><input type="checkbox" checked=${checked} disabled=${disabled}
    onChange=${(event) => onChange(event.currentTarget.checked)} /> ${label}</label>`;
}

/** A card with a heading; ``help`` says in a line what it is for; ``tools`` stand beside the heading. */
export function Panel({ title, help, tools, children, kind = "" }) {
  const id = useId();
  return html`<section class=${`panel ${kind}`} aria-labelledby=${id}>
    <header><h2 id=${id}>${title}</h2>${tools && html`<div class="push row">${tools}</div>`}${help && html`<p class="help">${help}</p>`}</header>
    ${children}
  </section>`;
}

/** A message. ``kind``: "", "good", "warn" or "bad"; a bad one is read out at once. */
export function Notice({ kind = "", children }) {
  return html`<div class=${`notice ${kind}`} role=${kind === "bad" ? "alert" : "status"}>${children}</div>`;
}

export function Badge({ kind = "", children }) {
  return html`<span class=${`badge ${kind}`}>${children}</span>`;
}

/** How far some work is: ``share`` from 0 to 1, or null where that is unknown. */
export function Progress({ label, share }) {
  const id = useId();
  return html`<div class="field"><label for=${id}>${label}</label>
    <progress id=${id} max="1" value=${share ?? undefined}></progress></div>`;
}

/** Facts as two columns: ``values`` are [name, text]. */
export function Facts({ values }) {
  return html`<dl class="facts">${values.map(([name, text]) => html`<dt key=${name}>${name}</dt><dd>${text}</dd>`)}</dl>`;
}

/** A dialog in front of the page while ``open``; Escape and Close call ``onClose``. */
export function Dialog({ title, open, onClose, children }) {
  const node = useRef(null);
  const id = useId();
  useEffect(() => {
    if (open && !node.current.open) node.current.showModal();
    if (!open && node.current.open) node.current.close();
  }, [open]);
  return html`<dialog ref=${node} aria-labelledby=${id} onClose=${onClose}>
    <div class="stack"><div class="row heading"><h2 id=${id}>${title}</h2><div class="push"><${Button} kind="quiet" hotkey="Escape" onClick=${() => node.current.close()}>Close<//></div></div>
    ${open && children}</div>
  </dialog>`;
}

/** Tabs: ``options`` are [value, text]; the panel below has role="tabpanel". */
export function Tabs({ label, value, options, onChange }) {
  const move = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = options.findIndex(([each]) => each === value);
    const [next] = options[(at + step + options.length) % options.length];
    const list = event.currentTarget;
    onChange(next);
    requestAnimationFrame(() => list.querySelector("[aria-selected=true]")?.focus());
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${options.map(([each, text]) => html`<button type="button" role="tab" key=${each} aria-selected=${String(each === value)}
      tabindex=${each === value ? 0 : -1} onClick=${() => onChange(each)}>${text}</button>`)}</div>`;
}

/** A button that opens a file of the person. */
export function FileButton({ onFile, accept = "image/*", children, kind = "" }) {
  const input = useRef(null);
  return html`<${Button} kind=${kind} onClick=${() => input.current.click()}>${children}<//>
    <input ref=${input} type="file" accept=${accept} hidden tabindex="-1" aria-hidden="true"
      onChange=${(event) => {
        const [file] = event.currentTarget.files;
        event.currentTarget.value = "";
        if (file) onFile(file);
      }} />`;
}

/** Call ``onFile`` with a file that is dropped anywhere on the page. */
export function useFileDrop(onFile) {
  const now = useRef(onFile);
  now.current = onFile;
  useEffect(() => {
    const over = (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); };
    const drop = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      const [file] = event.dataTransfer.files;
      if (file) now.current(file);
    };
    addEventListener("dragover", over);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("drop", drop);
    };
  }, []);
}

/** Say something to screen readers, without a change on the page. */
export function say(text) {
  const region = document.getElementById("live");
  if (!region) return;
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}

/** Put text on the clipboard; say whether that worked. */
export async function copy(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
    say(what);
    return true;
  } catch {
    return false;
  }
}

/** Save bytes as a file of the person. */
export function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 30_000);
}

/** Remember a choice in this browser; the page works without that too (a private window may forbid it). */
export function remembered(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(`gansmith.${key}`)) ?? fallback;
  } catch {
    return fallback;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`gansmith.${key}`, JSON.stringify(value));
  } catch {
    // see remembered
  }
}

// Hotkeys: the newest entry of a key counts. Single letters can be turned off (WCAG 2.1.4).
const hotkeys = [];
let hotkeysOn = remembered("hotkeys", true);

/** Bind keys while a component is shown: ``keys`` are {"p": ["Pin this image", run]}, with "Shift+" or "Ctrl+" before. */
export function useHotkeys(keys) {
  const now = useRef(keys);
  now.current = keys;
  useEffect(() => {
    const entry = () => now.current;
    hotkeys.push(entry);
    return () => { hotkeys.splice(hotkeys.indexOf(entry), 1); };
  }, []);
}

/** Return [key, what it does] of all keys that count now. */
function listHotkeys() {
  const all = new Map();
  for (const entry of hotkeys) for (const [key, [words]] of Object.entries(entry())) all.set(key, words);
  return [...all];
}

document.addEventListener("keydown", (event) => {
  const target = event.target;
  const typing = target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea, dialog");
  const command = event.ctrlKey || event.metaKey;
  if (event.altKey || event.defaultPrevented || (typing && event.key !== "Escape") || (!hotkeysOn && !command)) return;
  if (target.type === "range" && /^(Arrow|Page|Home|End)/.test(event.key)) return;
  const key = `${command ? "Ctrl+" : ""}${event.shiftKey && event.key.length > 1 ? "Shift+" : ""}${event.key.length === 1 && command && event.shiftKey ? "Shift+" : ""}${event.key.length === 1 ? event.key.toLowerCase() : event.key}`;
  for (const entry of [...hotkeys].reverse()) {
    const found = entry()[key];
    if (found) {
      event.preventDefault();
      found[1](event);
      return;
    }
  }
});

// Theme: "auto" follows the system.
const themeChanged = new Set();

export function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  remember("theme", theme);
  for (const each of themeChanged) each();
}

export function currentTheme() {
  return document.documentElement.dataset.theme ?? "auto";
}

function isDark() {
  return currentTheme() === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : currentTheme() === "dark";
}

/** Return a function that gives the colour of a CSS variable, as in colour("ink"); the component is drawn anew when
 * the theme changes, and the function is then another one, so that it can stand in a list of dependencies. */
export function useColours() {
  const make = () => (name) => {
    const text = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    const pair = /^light-dark\((.*), *(.*)\)$/.exec(text); // a canvas does not know it
    return pair ? pair[isDark() ? 2 : 1] : text;
  };
  const [colour, setColour] = useState(make);
  useEffect(() => {
    const change = () => setColour(make);
    const system = matchMedia("(prefers-color-scheme: dark)");
    themeChanged.add(change);
    system.addEventListener("change", change);
    return () => {
      themeChanged.delete(change);
      system.removeEventListener("change", change);
    };
  }, []);
  return colour;
}

if (typeof document !== "undefined" && remembered("theme", "auto") !== "auto") setTheme(remembered("theme", "auto"));

const THEMES = { auto: ["dark", "◐", "as the system"], dark: ["light", "☾", "dark"], light: ["auto", "☀", "light"] };

/** A button that goes through the themes. */
export function ThemeButton() {
  const [theme, setOwn] = useState(currentTheme());
  const [next, sign, words] = THEMES[theme];
  return html`<${Button} kind="quiet" label=${`Theme: ${words}`} title=${`Theme: ${words}`} onClick=${() => { setTheme(next); setOwn(next); }}>${sign}<//>`;
}

/** A list of the keys, with a switch for those without Ctrl. */
export function KeysDialog({ open, onClose }) {
  const [on, setOn] = useState(hotkeysOn);
  const change = (wanted) => {
    hotkeysOn = wanted;
    remember("hotkeys", wanted);
    setOn(wanted);
  };
  return html`<${Dialog} title="Keys" open=${open} onClose=${onClose}>
    <table><thead><tr><th scope="col">Key</th><th scope="col">What it does</th></tr></thead>
      <tbody>${listHotkeys().map(([key, words]) => html`<tr key=${key}><td><kbd>${key === " " ? "Space" : key}</kbd></td><td>${words}</td></tr>`)}</tbody></table>
    <${Check} label="Keys without Ctrl are on" checked=${on} onChange=${change} />
  <//>`;
}

/** The frame of every page: the bar, which begins with ``bar`` and ends with ``tools``, the main part, and a region for screen readers. */
export function Shell({ bar, tools, children }) {
  const [keysOpen, setKeysOpen] = useState(false);
  useHotkeys({ "?": ["Show the keys", () => setKeysOpen(true)] });
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>Skip to the content</a>
    <header class="bar">${bar}
      <div class="tools">${tools}<${ThemeButton} /><${Button} kind="quiet" label="Keys" title="Keys (?)" onClick=${() => setKeysOpen(true)}>?<//></div></header>
    <main id="main" tabindex="-1">${children}</main>
    <div id="live" class="unseen" role="status" aria-live="polite"></div>
    <${KeysDialog} open=${keysOpen} onClose=${() => setKeysOpen(false)} />`;
}

/** Show a page in the element "app", instead of the text that stands there while the page loads. */
export function show(Page) {
  const app = document.getElementById("app");
  app.textContent = "";
  render(html`<${Page} />`, app);
}

/** Say whether a media query fits, also after the window changes. */
export function useMedia(query) {
  const [fits, setFits] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const change = () => setFits(media.matches);
    media.addEventListener("change", change);
    return () => media.removeEventListener("change", change);
  }, [query]);
  return fits;
}

/** Run an async function when ``keys`` change: returns {value, problem, busy}; an older answer never replaces a newer one. */
export function useLoad(load, keys) {
  const [state, setState] = useState({ value: null, problem: null, busy: true });
  useEffect(() => {
    const control = new AbortController();
    setState((old) => ({ ...old, busy: true }));
    load(control.signal).then(
      (value) => { if (!control.signal.aborted) setState({ value, problem: null, busy: false }); },
      (problem) => { if (!control.signal.aborted) setState({ value: null, problem, busy: false }); },
    );
    return () => control.abort();
  }, keys);
  return state;
}
