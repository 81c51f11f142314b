// Explore a translator or an upscaler: a picture of the person, before and after.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { Button, FileButton, Notice, Panel, Progress, Select, Slider, saveFile, useFileDrop } from "./ui.js";

export function Translate({ engine, heading }) {
  const { model } = engine;
  const [file, setFile] = useState(null);
  const [generator, setGenerator] = useState(model.generators?.[0] ?? "");
  const [work, setWork] = useState({});
  const control = useRef(null);
  useFileDrop(setFile);
  useEffect(() => {
    if (!file) return undefined;
    const stop = new AbortController();
    control.current = stop;
    const before = URL.createObjectURL(file);
    let after = null;
    setWork({ before, busy: true, share: null });
    const onShare = (share) => setWork((old) => (old.busy ? { ...old, share } : old));
    engine.translate(file, { generator, onShare }, stop.signal).then(
      (blob) => {
        after = URL.createObjectURL(blob);
        if (!stop.signal.aborted) setWork({ before, after, blob });
      },
      (problem) => { if (!stop.signal.aborted) setWork({ before, problem }); },
    );
    return () => {
      stop.abort();
      URL.revokeObjectURL(before);
      if (after) URL.revokeObjectURL(after);
    };
  }, [file, generator]);
  const enlarges = model.method === "upscaler";
  return html`<div class="heading">${heading}</div>
    <div class="stack">
      <${Panel} title=${enlarges ? "Enlarge a picture" : "Translate a picture"} help="Drop a picture on the page. It stays on this machine. Large pictures are worked on in tiles.">
        <div class="row"><${FileButton} kind="main" onFile=${setFile}>Choose a picture<//>
          ${model.generators?.length > 1 && html`<${Select} label="Direction" value=${generator} onChange=${setGenerator}
            options=${model.generators.map((name) => [name, name.replaceAll("_", " ")])} />`}
          ${work.blob && html`<${Button} onClick=${() => saveFile(work.blob, `${(file.name ?? "picture").replace(/\.\w+$/, "")}-${model.name}.png`)}>Download PNG<//>`}
          ${work.busy && html`<${Button} onClick=${() => { control.current.abort(); setWork({}); setFile(null); }}>Stop<//>`}</div>
      <//>
      ${work.problem && html`<${Notice} kind="bad">${work.problem.message}<//>`}
      ${work.busy && html`<${Progress} label="Working" share=${work.share} />`}
      ${work.after && html`<${Compare} before=${work.before} after=${work.after} />`}
      ${!work.after && work.before && html`<img class="photo" src=${work.before} alt="Your picture" />`}
    </div>`;
}

/** Two pictures one over the other; the slider moves the edge between them. */
export function Compare({ before, after }) {
  const [share, setShare] = useState(50);
  const top = useRef(null);
  useEffect(() => { top.current.style.clipPath = `inset(0 ${100 - share}% 0 0)`; }, [share, before]);
  return html`<${Panel} title="Before and after">
    <div class="compare"><img src=${after} alt="After" /><img ref=${top} class="over" src=${before} alt="Before" /></div>
    <${Slider} label="Edge between before and after" min=${0} max=${100} step=${1} value=${share} format=${(each) => `${each} %`} onInput=${setShare} />
  <//>`;
}
