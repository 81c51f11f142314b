// The diagram of Learn: which network gets what, with the numbers of the moment.

import { html, useEffect, useState } from "./vendor/preact.js";
import { Panel } from "./ui.js";
import { short } from "./chart.js";

export function Guide({ live, settings, started }) {
  const [{ means, phase }, setSeen] = useState({ frame: null, means: {}, phase: "" });
  useEffect(() => { // numbers and words of one picture; a network that took no step keeps its numbers
    const timer = setInterval(() => {
      const { frame } = live.current;
      setSeen((old) => (frame === old.frame ? old : { frame, means: frame ? { ...old.means, ...frame.means } : {}, phase: frame?.playing ? "" : frame?.phase ?? "" }));
    }, 400);
    return () => clearInterval(timer);
  }, []);
  const things = started.view === "plane" ? "points" : "pictures";
  const of = (side) => (means[`d_${side}`] === undefined ? `D's score: ${short(means[`score_${side}`])}` : `D says: ${Math.round(100 * means[`d_${side}`])} % real`);
  const on = (...phases) => (phases.includes(phase) ? "part active" : "part");
  return html`<${Panel} title="Who gets what" help=${phase === "discriminator" ? "D learns: real and generated ones go in, D's loss comes out, and D's weights change." : phase === "generator" ? "G learns: D judges G's work, G's loss comes out, and G's weights change. D stays as it is." : "Slow motion lights up what happens in each step."}>
    <div class="flow">
      <div class=${on("discriminator", "generator")}><b>noise</b><span class="small">${settings.latent_dim} random ${settings.latent_dim === 1 ? "number" : "numbers"}</span></div>
      <span class="to" aria-hidden="true">→</span>
      <div class=${`${on("generator")} g`}><b>G</b><span class="small">${started.weights.generator.toLocaleString("en")} weights</span></div>
      <span class="to" aria-hidden="true">→</span>
      <div class=${on("discriminator", "generator")}><b class="fake">generated ${things}</b><span class="small">${of("fake")}</span></div>
      <span class="to" aria-hidden="true">→</span>
      <div class=${`${on("discriminator")} d`}><b>D</b><span class="small">${started.weights.discriminator.toLocaleString("en")} weights</span></div>
      <span class="to" aria-hidden="true">←</span>
      <div class=${on("discriminator")}><b class="real">real ${things}</b><span class="small">${of("real")}</span></div>
    </div>
    <div class="flow losses">
      <div class=${on("discriminator")}><b>loss of D</b><span class="small numbers">${short(means.loss_discriminator)}</span><span class="small soft">low: D tells real from generated</span></div>
      <div class=${on("generator")}><b>loss of G</b><span class="small numbers">${short(means.loss_generator)}</span><span class="small soft">${settings.loss === "minimax" ? "far below 0: D takes G's work for real; near 0: D rejects it" : "low: D takes G's work for real"}</span></div>
    </div>
  <//>`;
}
