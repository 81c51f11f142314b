// The place Judge: how good a model is, in numbers and side by side with real images; and one model against another.

import { html, useEffect, useState } from "./vendor/preact.js";
import { Badge, Button, Check, Notice, Panel, Progress, Select, useLoad } from "./ui.js";
import { address, getJson, request, sendJson } from "./http.js";
import { ModelChoice, NoModels, useModels } from "./explore_place.js";

const AGAIN_MS = 3000; // between two questions to a server that does not answer
const NOISE = 2; // standard deviations: smaller differences may be chance; as evaluation/result.py
const SIZES = [["500", "500 images: a first look, under a minute"], ["2000", "2,000 images: minutes"], ["10000", "10,000 images: for reports"]];
const ENDS = { low: "lower is better", high: "higher is better", one: "best is 1", zero: "best is 0", chance: "good up to 0.5", "": "" };

/** Return a number with 4 digits that count. */
export function words(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  return Math.abs(value) >= 10_000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));
}

/** Return how bad a value is: lower is better; NaN where no value is best. */
export function badness({ best, value }) {
  return { low: value, high: -value, one: Math.abs(value - 1), zero: Math.abs(value), chance: Math.max(0, value - 0.5) }[best] ?? NaN;
}

/** Return "A", "B" or "" (chance, or no best value): which of two measurements is better. */
export function better(a, b) {
  if (Math.abs(a.value - b.value) <= NOISE * Math.hypot(a.deviation ?? 0, b.deviation ?? 0)) return "";
  const difference = badness(a) - badness(b);
  return difference < 0 ? "A" : difference > 0 ? "B" : "";
}

function useJudgement(id) {
  const [again, setAgain] = useState(0);
  const found = useLoad((signal) => (id ? getJson(`judge/${encodeURIComponent(id)}`, {}, signal) : Promise.resolve(null)), [id, again]);
  const refresh = () => setAgain((count) => count + 1);
  const running = found.value?.running_sec !== null && found.value?.running_sec !== undefined;
  useEffect(() => { // also after a failure: the server may be back, and an evaluation goes on meanwhile
    if (!running && !found.problem) return undefined;
    const timer = setTimeout(refresh, running ? 1000 : AGAIN_MS);
    return () => clearTimeout(timer);
  }, [found.value, found.problem]);
  return { ...found, value: found.value?.model === id ? found.value : null, running, refresh };
}

export function Place({ id, query, go }) {
  const { models, problem } = useModels();
  const chosen = models?.find((each) => each.id === id) ?? (id ? null : models?.[0]);
  const other = query.get("against") ?? "";
  const a = useJudgement(chosen?.id);
  const b = useJudgement(other && models?.some((each) => each.id === other) ? other : null);
  if (problem && !models) return html`<${Notice} kind="bad">${problem.message}<//>`;
  if (!models) return html`<p class="soft">Looking for models …</p>`;
  if (!models.length) return html`<h1 class="unseen">Judge</h1><${NoModels} go=${go} />`;
  const against = (name) => go("judge", chosen?.id ?? "", name ? new URLSearchParams({ against: name }) : null);
  const heading = html`<div class="heading"><h1>Judge</h1>
    <${ModelChoice} models=${models} id=${chosen?.id ?? ""} onChange=${(name) => go("judge", name, other ? query : null)} label=${other ? "Model A" : "Model"} />
    <${Select} label="Against (B)" value=${other} onChange=${against}
      options=${[["", "no other model"], ...models.filter((each) => each.id !== chosen?.id).map((each) => [each.id, each.name ?? each.id])]} /></div>`;
  if (!chosen) return html`${heading}<${Notice} kind="bad">There is no model "${id}" here any more. Choose another one.<//>`;
  return html`${heading}
    <div class="stack">
      ${a.problem && html`<${Notice} kind="bad">${a.problem.message}<//>`}
      ${other && b.value ? html`<div class="halves"><${Control} name="A" model=${chosen} judgement=${a} /><${Control} name="B" model=${models.find((each) => each.id === other)} judgement=${b} /></div>`
        : html`<${Control} model=${chosen} judgement=${a} />`}
      ${other && b.value ? html`<${Versus} a=${a.value} b=${b.value} />` : a.value?.evaluation && html`<${Numbers} found=${a.value.evaluation} />`}
      ${a.value?.evaluation && html`<${Pictures} id=${chosen.id} judgement=${a.value} other=${b.value?.evaluation ? b.value : null} />`}
      ${a.value?.evaluation?.classes && html`<${Classes} facts=${a.value.evaluation.classes} other=${b.value?.evaluation?.classes} />`}
    </div>`;
}

/** What was measured, and a button that measures. */
function Control({ name, model, judgement }) {
  const { value, running, refresh } = judgement;
  const [num, setNum] = useState("2000");
  const [onTraining, setOnTraining] = useState(null);
  const [problem, setProblem] = useState(null);
  if (!value) return html`<p class="soft">Looking …</p>`;
  const found = value.evaluation;
  const training = onTraining ?? value.holds_out === false;
  const act = async (work) => {
    setProblem(null);
    try {
      await work();
    } catch (error) {
      setProblem(error);
    }
    refresh();
  };
  const path = `judge/${encodeURIComponent(model.id)}`;
  const start = () => act(() => sendJson(path, { num: Number(num), on_training: training }));
  const stop = () => act(() => request(path, { method: "DELETE" }));
  const failed = problem ?? value.problem;
  const title = found ? `${name ? `${name}: ` : ""}${model.name}` : `${name ? `${name}: ` : ""}${model.name} is not evaluated yet`;
  return html`<${Panel} title=${title} help=${found ? `Measured at ${words(found.kimg)} kimg against ${words(found.protocol.num_real)} real images: ${found.protocol.reference}.` : "An evaluation compares new images of the model with real ones."}>
    <div class="stack tight">
      ${found?.stale && html`<${Notice} kind="warn">The model has been trained further since. Evaluate it again.<//>`}
      ${found?.summary && html`<p class=${`notice ${found.summary.kind}`}>${found.summary.text}</p>`}
      ${found && html`<ul class="said">${found.words.map((line) => html`<li key=${line}>${line}</li>`)}</ul>`}
      ${failed && !running && html`<${Notice} kind="bad">${failed.message}<//>`}
      ${running && html`<${Progress} label=${value.waits ? "Waits until the evaluation of another model has ended" : `Measuring since ${Math.round(value.running_sec)} s: draws images and compares them`} share=${null} />`}
      <details open=${!found}><summary>${found ? "Evaluate again" : "Evaluate"}</summary><div class="row judge-start">
        ${value.can_evaluate ? html`
          <${Select} label="Images" value=${num} options=${SIZES} onChange=${setNum} />
          ${value.holds_out !== null && html`<${Check} label="Compare with the training images" checked=${training} onChange=${setOnTraining} />`}
          ${running ? html`<${Button} onClick=${stop}>Stop<//>` : html`<${Button} kind="main" onClick=${start}>Evaluate<//>`}
          ${value.holds_out === false && html`<p class="help">This run held back no images (<code>--holdout 0.1</code> would), so only its training images are at hand. A model that copies them would look good here.</p>`}`
        : html`<p class="help">This is an ONNX file. An evaluation needs the run or the model folder that it comes from.</p>`}
      </div></details>
    </div>
  <//>`;
}

function Numbers({ found }) {
  const skipped = Object.entries(found.skipped);
  return html`<${Panel} title="What the numbers mean" help="± is one standard deviation: smaller differences between two models may be chance.">
    <div class="scroll" tabindex="0" role="region" aria-label="Table of numbers"><table class="judge-table">
      <thead><tr><th scope="col">Metric</th><th scope="col">Value</th><th scope="col">It asks</th><th scope="col">How to read it</th></tr></thead>
      <tbody>${found.numbers.map((number) => html`<tr key=${number.name}><th scope="row">${number.title}<br /><code class="soft">${number.name}</code></th>
        <td class="value">${words(number.value)}<${Spread} of=${number} /></td>
        <td>${number.asks}</td><td>${number.read || ENDS[number.best]}</td></tr>`)}</tbody></table></div>
    ${skipped.length > 0 && html`<details><summary>Not measured: ${skipped.length}</summary><ul class="said small">${skipped.map(([name, why]) => html`<li key=${name}>${name}: ${why}</li>`)}</ul></details>`}
  <//>`;
}

/** The standard deviation of a number, below it. */
function Spread({ of }) {
  return of.deviation !== null && html`<br /><span class="soft">± ${words(Number(of.deviation.toPrecision(2)))}</span>`;
}

/** Two evaluations side by side: only numbers of one name can be compared. */
function Versus({ a, b }) {
  if (!a?.evaluation || !b?.evaluation) return html`<${Notice}>Evaluate both models, with the same number of images, to compare them.<//>`;
  const [left, right] = [a.evaluation, b.evaluation];
  const differing = ["features_sha256", "reference_fingerprint", "reference", "num_fake", "num_real", "resize", "fit"]
    .filter((name) => JSON.stringify(left.protocol[name]) !== JSON.stringify(right.protocol[name]));
  if (differing.length) {
    return html`<${Notice} kind="warn">These evaluations cannot be compared, because they were made differently: ${differing.map((name) => `${name.replaceAll("_", " ")} (${left.protocol[name]} and ${right.protocol[name]})`).join("; ")}. Evaluate both in the same way.<//>`;
  }
  const rows = left.numbers.flatMap((number) => {
    const its = right.numbers.find((each) => each.name === number.name);
    return its ? [[number, its, better(number, its)]] : [];
  });
  const wins = (side) => rows.filter(([, , winner]) => winner === side).length;
  return html`<${Panel} title="A against B" help=${`A is better in ${wins("A")} numbers, B in ${wins("B")}; in ${wins("")} the difference may be chance. To compare two recipes, train each with several seeds.`}>
    <div class="scroll" tabindex="0" role="region" aria-label="Table of both models"><table class="judge-table">
      <thead><tr><th scope="col">Metric</th><th scope="col">A</th><th scope="col">B</th><th scope="col">Better</th><th scope="col">It asks</th></tr></thead>
      <tbody>${rows.map(([number, its, winner]) => html`<tr key=${number.name}><th scope="row">${number.title}<br /><span class="soft small">${ENDS[number.best]}</span></th>
        ${[number, its].map((each, at) => html`<td key=${at} class="value">${words(each.value)}<${Spread} of=${each} /></td>`)}
        <td>${winner ? html`<${Badge} kind="good">${winner}<//>` : html`<span class="soft">even</span>`}</td><td>${number.asks}</td></tr>`)}</tbody></table></div>
  <//>`;
}

function Pictures({ id, judgement, other }) {
  const link = (model, name) => address(`judge/${encodeURIComponent(model)}/${name}.png`, { of: judgement.evaluation.seconds });
  const has = (name) => judgement.pictures.includes(name);
  const memory = judgement.evaluation.memorization;
  return html`
    ${has("real") && has("samples") && html`<${Panel} title="Real beside fake" help="Images of the reference set, and new images of the model. Look at both before you believe a number.">
      <div class="halves"><figure><figcaption>Real</figcaption><img class="picture sharp" src=${link(id, "real")} alt="64 real images" /></figure>
        <figure><figcaption>${other ? "A" : "Made by the model"}</figcaption><img class="picture sharp" src=${link(id, "samples")} alt="64 images that the model made" /></figure>
        ${other?.pictures.includes("samples") && html`<figure><figcaption>B</figcaption><img class="picture sharp" src=${link(other.model, "samples")} alt="64 images that model B made" /></figure>`}</div><//>`}
    ${has("nearest") && html`<${Panel} title="Nearest neighbours" help=${`The samples nearest to a training image, each beside that image. ${memory ? `Held-out images have a median distance of ${words(memory.held_out_median)}; few of them are nearer than ${words(memory.limit)}.` : ""} If pairs look the same, the model copies.`}>
      <div class="scroll" tabindex="0" role="region" aria-label="Pairs of images"><img class="nearest" src=${link(id, "nearest")} alt="Samples and their nearest training images" /></div><//>`}
    ${has("translations") && html`<${Panel} title="Translations" help="Images of the reference set, the result of the baseline, and the translation by the model.">
      <div class="scroll" tabindex="0" role="region" aria-label="Rows of translations"><img class="nearest" src=${link(id, "translations")} alt="Translations" /></div><//>`}`;
}

/** Shares of the classes among samples and among real images. */
function Classes({ facts, other }) {
  const most = Math.max(...facts.real_shares, ...facts.fake_shares, ...(other?.fake_shares ?? []), 1e-9);
  const bar = (kind, share, words_) => html`<div class="bar-row"><span class="unseen">${words_}: </span><svg class=${`bar-of ${kind}`} viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
    <rect x="0" y="0" height="10" width=${(100 * share) / most} rx="1" /></svg><span class="numbers small">${(100 * share).toFixed(1)} %</span></div>`;
  return html`<${Panel} title="Classes" help="How often each class is made, as the extractor sees it: samples first, real images below. A class far shorter than its real bar is on its way to be forgotten: mode collapse.">
    <p class="small"><span class="key fake"></span> ${other ? "A" : "samples"} ${other && html`<span class="key other"></span> B `}<span class="key real"></span> real images</p>
    <table class="classes"><thead class="unseen"><tr><th scope="col">Class</th><th scope="col">Shares</th></tr></thead><tbody>
      ${facts.classes.map((name, at) => html`<tr key=${name}><th scope="row">${name} ${facts.missing.includes(name) ? html`<${Badge} kind="bad">missing<//>` : facts.over_fed.includes(name) && html`<${Badge} kind="warn">too often<//>`}</th>
        <td>${bar("fake", facts.fake_shares[at], other ? "A" : "samples")}${other && bar("other", other.fake_shares[at], "B")}${bar("real", facts.real_shares[at], "real images")}</td></tr>`)}
    </tbody></table><//>`;
}
