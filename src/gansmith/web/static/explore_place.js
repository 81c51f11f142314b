// The place Explore of the page with a server: choose a model, open its engine.

import { html, useEffect, useState } from "./vendor/preact.js";
import { Button, Notice, Panel, Progress, Select, say, useLoad } from "./ui.js";
import { address, getJson, sendJson } from "./http.js";
import { openHttpEngine } from "./engine_http.js";
import { Explore } from "./explore.js";
import { Translate } from "./translate.js";

const HARDLY_KIMG = 1; // thousands of real images that its discriminator has seen
const AGAIN_MS = 2000; // between two looks for new models, and at one that is being prepared

/** Return the models of the server, renewed while the page is open. */
export function useModels() {
  const [again, setAgain] = useState(0);
  const found = useLoad((signal) => getJson("models", {}, signal), [again]);
  const [kept, setKept] = useState(null);
  useEffect(() => {
    if (found.value) setKept(found.value);
    const timer = setTimeout(() => setAgain(again + 1), AGAIN_MS * (found.value?.some((each) => !each.ready && !each.error) ? 0.5 : 3));
    return () => clearTimeout(timer);
  }, [found.value, found.problem]);
  return { models: kept, problem: found.problem };
}

/** A choice among the models, for a heading. */
export function ModelChoice({ models, id, onChange, label = "Model" }) {
  return html`<${Select} label=${label} value=${id} onChange=${onChange} options=${models.map((each) => [each.id, each.name ?? each.id])} />`;
}

/** What to do where there is no model yet. */
export function NoModels({ go }) {
  return html`<${Panel} title="No model here yet" help="A model appears here by itself as soon as a run has one."><div class="empty">
    <p>Train one in another terminal; this takes a minute on one CPU core:</p><pre>gansmith train fashion-sample --recipe mlp-small</pre>
    <p>Or see first <a href="#/learn">how a GAN learns</a>.</p></div><//>`;
}

export function Place({ id, query, go, replace }) {
  const { models, problem } = useModels();
  const chosen = models?.find((each) => each.id === id) ?? (id ? null : models?.[0]);
  const [engine, setEngine] = useState({});
  useEffect(() => { // also anew when the model has other weights
    if (!chosen?.ready) return undefined;
    const stop = new AbortController();
    openHttpEngine(chosen.id, stop.signal).then(
      (made) => setEngine({ id: chosen.id, made }),
      (failed) => { if (failed.name !== "AbortError") setEngine({ id: chosen.id, failed }); },
    );
    return () => stop.abort();
  }, [chosen?.id, chosen?.ready, chosen?.version]);
  useEffect(() => { // asking for a model has the server prepare it
    if (chosen && !chosen.ready && !chosen.error) getJson(`models/${encodeURIComponent(chosen.id)}`).catch(() => {});
  }, [chosen?.id, chosen?.ready]);
  if (problem && !models) return html`<${Notice} kind="bad">${problem.message}<//>`;
  if (!models) return html`<p class="soft">Looking for models …</p>`;
  if (!models.length) return html`<h1 class="unseen">Explore</h1><${NoModels} go=${go} />`;
  const heading = html`<h1>Explore</h1><p class="soft small">New to GANs? <a href="#/learn">Learn what they are</a></p><${ModelChoice} models=${models} id=${chosen?.id ?? ""} onChange=${(name) => go("explore", name)} />
    ${chosen?.live && html`<${Button} title="Prepare the newest checkpoint of this run; links of older ones end then" onClick=${() => sendJson(`models/${encodeURIComponent(chosen.id)}/refresh`).catch(() => {})}>Newest checkpoint<//>
      <span class="soft small numbers">at ${chosen.kimg.toFixed(1)} kimg</span>`}
    ${chosen?.kimg < HARDLY_KIMG && html`<p class="soft small">It has hardly been trained yet, so its images are noise or blurs.</p>`}`;
  if (!chosen) return html`<div class="heading">${heading}</div><${Notice} kind="bad">There is no model "${id}" here any more. Choose another one.<//>`;
  if (chosen.error) return html`<div class="heading">${heading}</div><${Notice} kind="bad">${chosen.error.message ?? chosen.error}<//>`;
  if (!chosen.ready) return html`<div class="heading">${heading}</div><${Progress} label="Preparing this model for fast drawing (ONNX): once, some seconds" share=${null} />`;
  if (engine.failed && engine.id === chosen.id) return html`<div class="heading">${heading}</div><${Notice} kind="bad">${engine.failed.message}<//>`;
  if (!engine.made || engine.id !== chosen.id) return html`<div class="heading">${heading}</div><p class="soft">Opening the model …</p>`;
  if (chosen.points) return html`<div class="heading">${heading}</div><${Points} id=${chosen.id} />`;
  const openOther = (version, wanted) => {
    const other = models.find((each) => each.version === version && each.method === "latent");
    if (!other) return false;
    wanted.set("how", "from a PNG");
    go("explore", other.id, wanted);
    say(`The image is of ${other.name}, which is opened.`);
    return true;
  };
  const Kind = engine.made.model.method === "latent" ? Explore : Translate;
  return html`<${Kind} key=${chosen.id} engine=${engine.made} heading=${heading} query=${query.toString()}
    onOther=${openOther} onQuery=${(text) => replace("explore", chosen.id, new URLSearchParams(text), chosen.id)} />`;
}

/** A model of points in the plane has no images to steer. */
function Points({ id }) {
  const [seed, setSeed] = useState(0);
  return html`<${Panel} title="Points in the plane" help="This model makes points, not images: here are 256 of them."
      tools=${html`<${Button} kind="main" onClick=${() => setSeed(seed + 1)}>New points<//>`}>
    <img class="points" src=${address(`models/${encodeURIComponent(id)}/grid.png`, { seeds: `${seed}:0-255` })} alt="256 points that the model made" /><//>`;
}
