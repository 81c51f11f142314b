// Learn: a small GAN that gansmith trains in a child process while one looks: points in the plane, or garments.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { Badge, Button, Check, Dialog, Notice, Panel, Select, Slider, say, useColours, useHotkeys, useLoad } from "./ui.js";
import { getJson, listen, request, sendJson } from "./http.js";
import { Chart, short } from "./chart.js";
import { DocsDialog } from "./docs.js";
import { Guide } from "./learn_guide.js";
import { drawPlane, garments } from "./learn_picture.js";
import { paint } from "./picture.js";

const MOST_POINTS = 1600; // of a curve; then every second one is dropped
const CHARTS_MS = 300;
const STEP_MS = 1400; // of slow motion
const MINI_MS = 150; // between two pictures of the small copy
const MOST_MARKS = 12; // of changes in the curves
const AHEAD = 500; // rounds of networks that begin trained
const SAY_MS = 5000; // between two counts of modes that are read out
const WORDS = {
  data: "Data", loss: "Loss", penalty: "Penalty on D", penalty_weight: "Weight of the penalty", constraint: "Constraint on D's weights",
  lr_generator: "Learning rate of G", lr_discriminator: "Learning rate of D", beta1: "Momentum (beta1)",
  optimizer_generator: "Optimizer of G", optimizer_discriminator: "Optimizer of D",
  discriminator_steps: "D steps in a round", generator_steps: "G steps in a round", batch_size: "Examples in a step", averaged: "Show the averaged G",
  width_generator: "Width of G", width_discriminator: "Width of D", layers_generator: "Hidden layers of G", layers_discriminator: "Hidden layers of D", latent_dim: "Dimensions of the noise", noise: "Kind of noise", seed: "Seed",
};
const DATA = {
  "ring-8": "8 spots on a ring", "gaussians-25": "25 spots on a grid", "swiss-roll": "a spiral", "one-spot": "a single spot", drawn: "your own drawing", "fashion-sample": "pictures of garments, 28 px",
};
const OPTIMIZERS = {
  adam: "Step sizes follow each weight's own gradients.",
  adamw: "Adam that also shrinks the weights.",
  rmsprop: "An older relative of Adam, without momentum.",
  sgd: "Plain gradient descent: a step is the gradient times the learning rate. Needs rates near 0.1.",
};
// Plain words for the parts that come with gansmith; others have the first line of their description.
const HELP = {
  loss: {
    relativistic: "Each generated one is compared with a real one. Steady, and hard to collapse.",
    non_saturating: "The usual loss: G's gradient is strongest where D is surest.",
    minimax: "The first GAN loss: G's gradient dies where D is sure.",
    hinge: "D stops caring about those that it already tells apart by a margin.",
    least_squares: "D's scores are pulled to 1 for real and 0 for generated.",
    wasserstein: "D measures a distance. It needs a penalty or a constraint.",
  },
  penalty: {
    none: "D may have cliffs and flat land.",
    r1: "Punishes a steep D at the real ones. The most useful penalty.",
    r2: "Punishes a steep D at the generated ones.",
    gradient_penalty: "Keeps D's slope near 1 between real and generated ones (WGAN-GP). Weight about 10 on images, less here.",
  },
  constraint: { none: "D's weights are free.", weight_clip: "Clips each weight of D after each step (WGAN). Crude: penalties do it better." },
  optimizer_generator: OPTIMIZERS,
  optimizer_discriminator: OPTIMIZERS,
  noise: { gaussian: "Bell-shaped: most numbers are near 0.", uniform: "Spread evenly from -1 to 1." },
};
const PLAIN = {
  penalty_weight: "More: a smoother D, and slower learning.", lr_generator: "How far G moves in a step.", lr_discriminator: "How far D moves in a step.",
  discriminator_steps: "How often D learns in each round.", generator_steps: "How often G learns in each round.",
  beta1: "How much of the past gradients each step keeps. 0: none. 0.9: long.", batch_size: "How many real ones D sees in a step: the batch size.",
  averaged: "", width_generator: "Neurons in each hidden layer.", width_discriminator: "Neurons in each hidden layer.", layers_generator: "More: finer shapes, and slower steps.", layers_discriminator: "More: a sharper eye, and slower steps.",
  latent_dim: "How many random numbers G gets for each. G's net can be drawn for 1 and 2.", seed: "Another number: other first weights.",
};
const TITLE = "Learn what a GAN is: two networks play against each other";
const FIRST = ["loss", "penalty", "penalty_weight", "lr_generator", "lr_discriminator", "discriminator_steps", "generator_steps", "beta1", "batch_size", "constraint", "averaged"];
const ANEW = ["width_generator", "layers_generator", "optimizer_generator", "width_discriminator", "layers_discriminator", "optimizer_discriminator", "latent_dim", "noise", "seed"];
const LOG = { lr_generator: [1e-5, 0.1], lr_discriminator: [1e-5, 0.1], penalty_weight: [1e-4, 10] };
const LAYERS = [["heat", "D's opinion"], ["real", "real points"], ["fake", "generated points"], ["arrows", "gradients"], ["net", "G's net"]];

/** Return the settings that a preset stands for: the schema's defaults, changed. */
function settingsOf(form, changes) {
  const values = Object.fromEntries(Object.entries(form.properties).map(([name, { default: value }]) => [name, value]));
  return { ...values, ...changes };
}

/** Return what a person sees in a view, in a few sentences. */
function intro(view) {
  const seen = view === "plane"
    ? html`The <b class="real">gray points</b> are real. <b>G</b> (the generator) makes the <b class="fake">orange points</b> from random numbers. <b>D</b> (the discriminator) guesses which points are real: it colours the plane. G moves its points to where D is fooled. If all goes well, orange covers gray.`
    : html`The first pictures are real garments. <b>G</b> (the generator) makes the pictures beside them from random numbers, and <b>D</b> (the discriminator) guesses which pictures are real. G changes its pictures so that D is fooled.`;
  return html`${seen} Both together are a GAN, a generative adversarial network. It is real training by gansmith, on this machine.`;
}

export function Place({ id, replace }) {
  const presets = useLoad(() => getJson("learn/presets"), []);
  if (presets.problem) return html`<${Notice} kind="bad">${presets.problem.message}<//>`;
  if (!presets.value) return html`<p class="soft">One moment …</p>`;
  return html`<${Lesson} presets=${presets.value} id=${id} replace=${replace} />`;
}

/** The session in the server: {send, started, frame, survey, history, problem, busy}. */
function useSession(first) {
  const [state, setState] = useState({ busy: true });
  const session = useRef(null);
  const live = useRef({ frame: null, survey: null, history: emptyHistory(), draw: () => {} });
  const waiting = useRef({ changes: null, timer: null, asking: null });

  const open = async (settings, playing) => {
    setState((old) => ({ ...old, busy: true, problem: null, link: null }));
    live.current.started = null;
    const mine = { close: () => {} };
    session.current = mine;
    try {
      const answer = await sendJson("learn", { settings, playing });
      mine.name = answer.session;
      if (session.current !== mine) { end(mine); return; }
      setState((old) => ({ ...old, form: answer.form, playing, busy: false }));
      mine.close = listen(`learn/${answer.session}/events`, {
        started: (started) => {
          // a stream that was lost and found again repeats the newest start
          if (started.start !== live.current.started?.start) Object.assign(live.current, { history: emptyHistory(), survey: null, frame: null }); // pictures of the old networks, perhaps of other data
          else noteChange(live.current, started.settings);
          live.current.started = started;
          setState((old) => ({ ...old, started }));
        },
        frame: (frame) => {
          live.current.frame = frame;
          note(live.current.history, frame);
          live.current.draw();
          setState((old) => (old.playing === frame.playing ? old : { ...old, playing: frame.playing }));
        },
        survey: (survey) => { live.current.survey = survey; noteSurvey(live.current.history, survey); },
        ended: ({ message }) => { mine.close(); setState((old) => ({ ...old, problem: message, playing: false })); },
      }, { onState: (link, reason) => setState((old) => ({ ...old, link, ...(link === "closed" ? { problem: reason, playing: false } : {}) })) });
    } catch (problem) {
      if (session.current === mine) setState((old) => ({ ...old, busy: false, problem: problem.message }));
    }
  };
  const end = (which) => {
    which?.close();
    if (which?.name) request(`learn/${which.name}`, { method: "DELETE", keepalive: true }).catch(() => {});
  };
  const ask = async (command) => {
    try {
      if (!session.current?.name) return false;
      await sendJson(`learn/${session.current.name}`, command);
      setState((old) => (old.refused ? { ...old, refused: null } : old));
      return true;
    } catch (problem) {
      setState((old) => ({ ...old, refused: problem.message, ...(problem.code === "web.unknown_session" ? { problem: problem.message, playing: false } : {}) }));
      return false;
    }
  };
  useEffect(() => {
    open(first, true);
    const leave = () => end(session.current);
    addEventListener("pagehide", leave);
    return () => { removeEventListener("pagehide", leave); clearTimeout(waiting.current.timer); const last = session.current; session.current = null; end(last); };
  }, []);
  return { ...state, live, ask, again: (settings) => { end(session.current); open(settings, true); } };
}

function emptyHistory() {
  return { iteration: [], d: [], g: [], push: [], real: [], fake: [], at: [], js: [], kl: [], found: [], marks: [] };
}

/** Remember when settings changed and to what, for a mark in the curves. */
function noteChange(live, settings) {
  const old = live.started?.settings ?? settings;
  const changes = Object.keys(settings).filter((name) => name !== "points" && settings[name] !== old[name])
    .map((name) => `${(WORDS[name] ?? name).replace(/^[A-Z](?=[a-z])/, (first) => first.toLowerCase())} ${String(settings[name]).replaceAll("_", " ")}`);
  const x = live.history.iteration.at(-1) ?? 0; // before the first row of new networks
  if (!changes.length) return;
  const words = `${live.mending ? "mended: " : ""}${changes.join(", ")}`;
  live.mending = false;
  live.history.marks = [...live.history.marks, { x, colour: "ink", words }].slice(-MOST_MARKS);
}

function note(history, { iteration, means, push }) {
  if (!Object.keys(means).length || iteration === history.iteration.at(-1)) return;
  history.iteration.push(iteration);
  history.d.push(means.loss_discriminator ?? null);
  history.g.push(means.loss_generator ?? null);
  history.push.push(push.mean || null);
  history.real.push(means.d_real ?? means.score_real ?? null);
  history.fake.push(means.d_fake ?? means.score_fake ?? null);
  if (history.iteration.length > MOST_POINTS) for (const name of ["iteration", "d", "g", "push", "real", "fake"]) history[name] = history[name].filter((_, place) => place % 2 === 0);
}

function noteSurvey(history, { iteration, js, kl, found }) {
  if (iteration <= (history.at.at(-1) ?? -1)) return;
  history.at.push(iteration);
  history.js.push(js ?? null);
  history.kl.push(kl ?? null);
  history.found.push(found ?? null);
  if (history.at.length > MOST_POINTS) for (const name of ["at", "js", "kl", "found"]) history[name] = history[name].filter((_, place) => place % 2 === 0);
}

function Lesson({ presets, id, replace }) {
  const firstPreset = presets.find((each) => each.name === id) ?? presets[0];
  const [preset, setPreset] = useState(firstPreset);
  const [mended, setMended] = useState(false);
  const session = useSession(firstPreset.settings);
  const { form, started, live, ask } = session;
  const [settings, setSettings] = useState(null);
  const settingsNow = useRef(settings); // two controls can be changed before the next drawing
  settingsNow.current = settings;
  const [slow, setSlow] = useState(false);
  const [shown, setShown] = useState({ heat: true, real: true, fake: true, arrows: true, net: false });
  const [drawing, setDrawing] = useState(false);
  const [page, setPage] = useState(null);
  const [late, setLate] = useState(false);
  const timer = useRef(null);

  useEffect(() => { if (form && !settings) setSettings(settingsOf(form, firstPreset.settings)); }, [form]);
  useEffect(() => { if (started) setSettings((old) => old ?? started.settings); }, [started]);

  useEffect(() => { const waiting = setTimeout(() => setLate(true), 12_000); return () => clearTimeout(waiting); }, []);

  // A page that nobody sees trains nothing.
  useEffect(() => {
    let was = false;
    const change = () => {
      if (document.hidden) { was = live.current.frame?.playing ?? false; if (was) ask({ playing: false }); } else if (was) ask({ playing: true });
    };
    document.addEventListener("visibilitychange", change);
    return () => document.removeEventListener("visibilitychange", change);
  }, []);

  const send = (next, more = {}) => {
    settingsNow.current = next;
    setSettings(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => ask({ settings: next, ...more }), more.restart === undefined ? 200 : 0);
  };
  const change = (name, value) => send({ ...settingsNow.current, [name]: value });
  const choose = (next) => {
    setPreset(next);
    setMended(false);
    replace("learn", next.name);
    say(`${next.title}. It begins anew.`);
    setSlow(false);
    send(settingsOf(form, next.settings), { restart: true, playing: true });
  };
  const mend = () => {
    setMended(true);
    live.current.mending = true;
    say(`${preset.remedy.title}. The same networks go on with other settings.`);
    send({ ...settingsNow.current, ...preset.remedy.settings }, { restart: false, playing: true });
  };
  const play = () => { setSlow(false); ask({ playing: !session.playing }); };
  const step = (which) => { setSlow(false); ask({ step: which }); };
  const restart = () => ask({ settings, restart: true, playing: true });
  const [ahead, setAhead] = useState(false);
  const beginTrained = async () => {
    setAhead(true);
    setSlow(false);
    say(`New networks train ${AHEAD} rounds first.`);
    await ask({ settings, restart: true, playing: true, ahead: AHEAD });
    setAhead(false);
  };

  // Slow motion: the two networks take turns, one step each.
  useEffect(() => {
    if (!slow) return undefined;
    let turn = 0;
    const go = () => {
      const which = turn % 2 ? "generator" : "discriminator";
      turn += 1;
      ask({ step: which });
    };
    go();
    const beat = setInterval(go, STEP_MS);
    return () => clearInterval(beat);
  }, [slow]);
  useHotkeys({
    " ": ["Train or pause", play], d: ["One step of D", () => step("discriminator")], g: ["One step of G", () => step("generator")],
    s: ["One step of both", () => step("both")], r: ["Begin anew", restart], m: ["Mend it", () => { if (preset.remedy && !mended) mend(); }],
  });

  if (session.problem && !form) return html`<div class="stack"><h1>Learn</h1><${Notice} kind="bad">${session.problem}<//>
    <div class="row"><${Button} kind="main" onClick=${() => session.again(firstPreset.settings)}>Try again<//></div></div>`;
  if (!form || !settings || !started) return html`<div class="stack"><h1>${TITLE}</h1><p class="lead">${intro("plane")}</p>
    <p class="soft" role="status">${late ? "The training process is still starting: this machine is busy with other work …" : "Starting a training process. This takes a few seconds …"}</p></div>`;
  const wanted = settingsOf(form, { ...preset.settings, ...(mended ? preset.remedy.settings : {}) });
  const changed = Object.keys(wanted).filter((name) => name !== "points" && settings[name] !== wanted[name]).map((name) => WORDS[name] ?? name);
  return html`<div class="stack">
    <div class="heading"><h1>${TITLE}</h1></div>
    <p class="lead">${intro(started.view)}</p>
    <nav class="presets row" aria-label="Experiments"><span class="soft">Experiments:</span> ${presets.map((each) => html`<${Button} key=${each.name} pressed=${preset.name === each.name} onClick=${() => choose(each)}>${each.title}<//>`)}</nav>
    ${session.problem && html`<${Notice} kind="bad">${session.problem}<//><div class="row"><${Button} kind="main" onClick=${() => session.again(settings)}>Start again<//></div>`}
    ${session.link === "waiting" && !session.problem && html`<${Notice} kind="warn">The connection to the training is lost. Trying again …<//>`}
    ${session.refused && !session.problem && html`<${Notice} kind="bad">${session.refused}<//>`}
    <div class="split learn">
      <div class="stack">
        <${Panel} kind="lesson" title=${preset.title}>
          <div class="stack tight">
            <p>${mended ? preset.remedy.text : preset.text}</p>
            ${changed.length > 0 && html`<div class="row"><p class="help">Changed by you: ${changed.join(", ")}. The text above may no longer hold.</p>
              <${Button} onClick=${() => choose(preset)}>Back to the experiment<//></div>`}
            <div class="row">
              ${preset.remedy && html`<${Button} kind=${mended ? "" : "main"} hotkey="m" disabled=${mended} onClick=${mend}>${mended ? "Mended: watch what happens" : preset.remedy.title}<//>`}
              ${mended && html`<${Button} onClick=${() => choose(preset)}>Show the problem again<//>`}
              <${Button} kind="quiet" onClick=${() => setPage(preset.doc)}>Read more: ${preset.doc_title}<//>
            </div>
          </div>
        <//>
        <${Stage} session=${session} shown=${shown} setShown=${setShown} play=${play} step=${step} restart=${restart} ahead=${ahead} beginTrained=${beginTrained} slow=${slow} setSlow=${setSlow} />
        <${Guide} live=${live} settings=${settings} started=${started} />
        <${Curves} live=${live} started=${started} />
      </div>
      <${Controls} form=${form} settings=${settings} change=${change} send=${send} onDraw=${() => setDrawing(true)} />
    </div>
    <${DrawDialog} open=${drawing} onClose=${() => setDrawing(false)} onDone=${(points) => { setDrawing(false); send({ ...settings, data: "drawn", points, latent_dim: Math.min(settings.latent_dim, 2) }, { restart: true, playing: true }); }} />
    <${DocsDialog} name=${page} onClose=${() => setPage(null)} />
  </div>`;
}

/** The picture with its buttons. */
function Stage({ session, shown, setShown, play, step, restart, ahead, beginTrained, slow, setSlow }) {
  const { live, started, playing } = session;
  const canvas = useRef(null);
  const colour = useColours();
  const [facts, setFacts] = useState({});
  const isPlane = started.view === "plane";
  useEffect(() => {
    let due = false;
    const draw = () => {
      due = false;
      const { frame, started: first } = live.current;
      if (frame && canvas.current && first?.view === "plane") drawPlane(canvas.current, first, frame, shown, colour);
    };
    live.current.draw = () => { if (!due) { due = true; requestAnimationFrame(draw); } };
    live.current.draw();
    return () => { live.current.draw = () => {}; };
  }, [shown, colour, started]);
  useEffect(() => {
    const timer = setInterval(() => {
      const { frame, survey } = live.current;
      if (frame) setFacts({ round: frame.round, kimg: frame.kimg, rate: frame.rate, found: survey?.found, of: survey?.of, frame });
    }, isPlane ? 250 : 120);
    return () => clearInterval(timer);
  }, [isPlane]);
  const modes = facts.of ? `${facts.found} of ${facts.of} ${isPlane ? "spots" : "kinds of garments"} found` : "";
  const said = useRef(0);
  useEffect(() => {
    if (!modes || Date.now() - said.current < SAY_MS) return;
    said.current = Date.now();
    say(modes);
  }, [modes]);
  const share = facts.of ? facts.found / facts.of : 0;
  return html`<${Mini} of=${canvas} view=${started.view} words=${`Round ${(facts.round ?? 0).toLocaleString("en")}${modes && `: ${modes}`}`} />
  <${Panel} kind="stage" title="Training" tools=${html`<span class="soft small numbers">${`round ${(facts.round ?? 0).toLocaleString("en")} · ${facts.rate ? `${Math.round(facts.rate)} a second` : slow ? "slow motion" : "paused"}`}</span>
      ${modes && html`<${Badge} kind=${share > 0.7 ? "good" : share > 0.3 ? "warn" : "bad"}>${modes}<//>`}`}>
    <div class="stack tight">
      <div class="row">
        <${Button} kind="main" hotkey="Space" onClick=${play}>${playing ? "Pause" : "Train"}<//>
        <${Button} pressed=${slow} onClick=${() => setSlow(!slow)}>Slow motion<//>
        <${Button} hotkey="d" onClick=${() => step("discriminator")}>Step of D<//>
        <${Button} hotkey="g" onClick=${() => step("generator")}>Step of G<//>
        <${Button} hotkey="r" onClick=${restart}>Begin anew<//>
        <${Button} disabled=${ahead} title=${`New networks that have trained ${AHEAD} rounds already`} onClick=${beginTrained}>${ahead ? `Training ${AHEAD} rounds …` : "Begin trained"}<//>
      </div>
      ${!playing && facts.frame?.phase && html`<p class="turn ${facts.frame.phase}">${facts.frame.phase === "discriminator"
        ? "D has learned: it saw real and generated examples, and its opinion moved to tell them apart."
        : "G has learned: what it makes moved a little, to where D is more easily fooled. The arrows show its next move."}</p>`}
      ${isPlane ? html`
        <canvas ref=${canvas} class="plane" width="640" height="640" role="img" aria-label=${`The plane with real and generated points. ${modes}`}></canvas>
        <div class="row layers" role="group" aria-label="Show">${LAYERS.map(([name, words]) => html`<${Check} key=${name} label=${words} checked=${shown[name]} onChange=${(on) => setShown((now) => ({ ...now, [name]: on }))} />`)}</div>
        <${Key} colour=${colour} started=${started} />`
      : html`<${Garments} fake=${canvas} frame=${facts.frame} started=${started} survey=${live.current.survey} colour=${colour} />`}
    </div>
  <//>`;
}

/** On a narrow page: a small copy of the picture at the top, while the picture itself is scrolled away. */
function Mini({ of, view, words }) {
  const [away, setAway] = useState(false);
  const canvas = useRef(null);
  useEffect(() => {
    // the margin makes everything below count as seen: what is away is above
    const watcher = new IntersectionObserver((seen) => setAway(!seen.at(-1).isIntersecting), { rootMargin: "0px 0px 1000000px 0px" });
    watcher.observe(of.current);
    return () => watcher.disconnect();
  }, [view]);
  useEffect(() => {
    if (!away) return undefined;
    const copy = () => { if (of.current && canvas.current?.clientWidth) paint(canvas.current, of.current); };
    copy();
    const timer = setInterval(copy, MINI_MS);
    return () => clearInterval(timer);
  }, [away, view]);
  return away && html`<button type="button" class="mini" onClick=${() => of.current.scrollIntoView({ block: "center" })}>
    <canvas ref=${canvas} aria-hidden="true"></canvas><span><b>${words}</b><span class="small soft">Back to the picture</span></span></button>`;
}

function Key({ started }) {
  return html`<div class="heatkey small"><span class="heatbar" aria-hidden="true"></span>
    <span>D's opinion: from “generated” to “real”. Pale colours are enlarged up to six times, so a strong colour need not be a sure opinion${started.probability ? "" : ". With this loss a single score has no meaning, so colours show which places score higher than others"}. Arrows: where the gradient pushes each generated point.</span></div>`;
}

function Garments({ fake, frame, started, survey, colour }) {
  const nodes = { real: useRef(null), fake, gradient: useRef(null) };
  useEffect(() => {
    if (!frame?.opinion_fake) return;
    garments(nodes.real.current, started.real, started.side, frame.opinion_real, colour);
    garments(nodes.fake.current, frame.fake, started.side, frame.opinion_fake, colour);
    garments(nodes.gradient.current, frame.gradient, started.side, null, colour, true);
  }, [frame, started, colour]);
  const shares = survey?.shares ?? [];
  return html`<div class="garments">
    <figure><canvas ref=${nodes.real} class="sharp" role="img" aria-label="Real garments, framed by D's opinion"></canvas><figcaption class="small">Real</figcaption></figure>
    <figure><canvas ref=${nodes.fake} class="sharp" role="img" aria-label="Generated garments, framed by D's opinion"></canvas><figcaption class="small">Generated</figcaption></figure>
    <figure><canvas ref=${nodes.gradient} class="sharp" role="img" aria-label="Gradients of G's loss by pixel"></canvas><figcaption class="small">Gradients: pixels that G makes brighter (white) or darker (black)</figcaption></figure>
  </div>
  <div class="heatkey small"><span class="heatbar" aria-hidden="true"></span><span>The frame of a picture is D's opinion: from “surely generated” to “surely real”.</span></div>
  <ul class="modes">${started.classes.map((name, index) => html`<li key=${name}><span>${name}</span><span class="bars" aria-hidden="true">
    <i class="fake" style=${{ width: `${Math.min(100, 300 * (shares[index] ?? 0))}%` }}></i></span><span class="numbers">${Math.round(100 * (shares[index] ?? 0))} %</span></li>`)}</ul>
  <p class="help">Share of each kind among the generated pictures; in the data each has 10 %. A picture counts if a classifier is about as sure of it as of real ones, and finds it about as near to them. ${shares.length > 0 && html`Now ${Math.round(100 * (1 - shares.reduce((sum, share) => sum + share, 0)))} % of the pictures show no garment yet.`}</p>`;
}

function Curves({ live, started }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) tick((old) => old + 1); }, CHARTS_MS);
    return () => clearInterval(timer);
  }, []);
  const { iteration, d, g, push, real, fake, at, js, kl, found, marks } = live.current.history;
  const same = { unit: "round", height: 150, marks };
  return html`<${Panel} title="Curves" help="Losses do not say how good the points are: compare them with the distance.">
    ${iteration.length < 2 ? html`<p class="soft">They begin with the training.</p>` : html`<div class="halves charts">
      <div><h3>Losses</h3><${Chart} ...${same} label="Losses" table=${[[...iteration], [...d], [...g]]} series=${LOSSES} sync="learn" /></div>
      <div><h3>What D thinks on average</h3><${Chart} ...${same} label="What D thinks on average" table=${[[...iteration], [...real], [...fake]]} series=${THOUGHTS} sync="learn" /></div>
      <div><h3>Strength of the gradients</h3><${Chart} ...${same} label="Strength of the gradients" log table=${[[...iteration], [...push]]} series=${PUSHES} sync="learn" /></div>
      ${at.length > 1 && started.view === "plane" && html`<div><h3>Distance from the real points</h3><${Chart} ...${same} label="Jensen-Shannon divergence, in bits" table=${[[...at], [...js]]} series=${DISTANCES} low=${0} high=${1} sync="learn" /></div>
        <div><h3>KL divergence</h3><${Chart} ...${same} label="KL divergence of the generated from the real points, in bits" table=${[[...at], [...kl]]} series=${KL} sync="learn" /></div>`}
      ${at.length > 1 && found.some((each) => each !== null) && html`<div><h3>${started.view === "plane" ? "Spots found" : "Kinds of garments found"}</h3><${Chart} ...${same} label="Modes found" table=${[[...at], [...found]]} series=${FOUND} sync="learn" /></div>`}
    </div>
    ${marks.length > 0 && html`<p class="help">Dotted lines show where settings changed:</p>
      <ul class="said small">${marks.map((mark) => html`<li key=${`${mark.x} ${mark.words}`}><span class="numbers">round ${mark.x.toLocaleString("en")}</span>: ${mark.words}</li>`)}</ul>`}`}
  <//>`;
}

const LOSSES = [{ label: "D", colour: "curve-1" }, { label: "G", colour: "curve-2" }];
const THOUGHTS = [{ label: "of real points", colour: "real" }, { label: "of generated points", colour: "fake" }];
const PUSHES = [{ label: "mean length of the arrows", colour: "curve-4" }];
const DISTANCES = [{ label: "JS divergence (0: the same, 1: nothing in common)", colour: "curve-3" }];
const KL = [{ label: "large where real points have no generated ones near", colour: "curve-6" }];
const FOUND = [{ label: "modes", colour: "curve-5" }];

function Controls({ form, settings, change, send, onDraw }) {
  const field = (name) => html`<${Control} key=${name} name=${name} schema=${form.properties[name]} value=${settings[name]} onChange=${(value) => change(name, value)} disabled=${(name === "penalty_weight" && settings.penalty === "none") || (name === "beta1" && settings.optimizer_generator === "rmsprop" && settings.optimizer_discriminator === "rmsprop")} />`;
  const setData = (data) => {
    if (data === "drawn" && !settings.points.length) return onDraw();
    const isImage = data === "fashion-sample";
    const wasImage = settings.data === "fashion-sample";
    const size = isImage === wasImage ? {} : isImage ? { latent_dim: 64, width_generator: 192, width_discriminator: 192, layers_generator: 2, layers_discriminator: 2, lr_generator: 5e-4, lr_discriminator: 5e-4, penalty_weight: 1 }
      : { latent_dim: 2, width_generator: 64, width_discriminator: 64, layers_generator: 3, layers_discriminator: 3, lr_generator: 2e-3, lr_discriminator: 2e-3, penalty_weight: 0.005 };
    return send({ ...settings, ...size, data }, { restart: true, playing: true });
  };
  return html`<div class="stack choices">
    <${Panel} title="Data" help="What G should learn to imitate. A change begins anew.">
      <div class="stack tight"><${Select} label="Data" hideLabel value=${settings.data} options=${Object.entries(DATA)} onChange=${setData} />
      <div class="row"><${Button} onClick=${onDraw}>Draw your own …<//></div></div>
    <//>
    <${Panel} title="Settings" help="These change at once: the same networks go on."><div class="stack">${FIRST.map(field)}</div><//>
    <${Panel} title="Networks" help="A change of these begins anew."><div class="stack">${ANEW.map(field)}</div><//>
  </div>`;
}

function Control({ name, schema, value, onChange, disabled }) {
  const label = WORDS[name] ?? name;
  if (schema.type === "boolean") return html`<${Check} label=${label} checked=${value} onChange=${onChange} />`;
  if (schema.enum) return html`<${Select} label=${label} help=${HELP[name]?.[value] ?? schema.help?.[value]} value=${value} options=${schema.enum.map((each) => [each, each.replaceAll("_", " ")])} onChange=${onChange} />`;
  if (LOG[name]) {
    const [low, high] = LOG[name].map(Math.log10);
    return html`<${Slider} label=${label} help=${PLAIN[name] ?? schema.description} disabled=${disabled} value=${Math.log10(Math.max(value, LOG[name][0]))} min=${low} max=${high} step=${0.05}
      format=${(power) => Number((10 ** power).toPrecision(2))} onInput=${(power) => onChange(Number((10 ** power).toPrecision(2)))} />`;
  }
  const whole = schema.type === "integer";
  return html`<${Slider} label=${label} help=${PLAIN[name] ?? schema.description} disabled=${disabled} value=${value} min=${schema.minimum ?? 0} max=${name === "seed" ? 20 : schema.maximum} step=${whole ? 1 : 0.05} onInput=${onChange} />`;
}

/** A square to draw points into, by mouse, pen or finger, or by keys. */
function DrawDialog({ open, onClose, onDone }) {
  const canvas = useRef(null);
  const points = useRef([]);
  const [count, setCount] = useState(0);
  const colour = useColours();
  const paint = () => {
    const node = canvas.current;
    if (!node) return;
    const context = node.getContext("2d");
    context.fillStyle = colour("well");
    context.fillRect(0, 0, node.width, node.height);
    context.fillStyle = colour("real");
    for (const [x, y] of points.current) context.fillRect(((x + 1) / 2) * node.width - 2, ((1 - y) / 2) * node.height - 2, 4, 4);
    setCount(points.current.length);
  };
  useEffect(() => { if (open) { points.current = []; requestAnimationFrame(paint); } }, [open]);
  const spray = (x, y) => {
    for (let each = 0; each < 8 && points.current.length < 2000; each += 1) {
      const place = [x, y].map((value) => Math.max(-1, Math.min(1, value + 0.05 * (Math.random() + Math.random() + Math.random() - 1.5))));
      points.current.push(place.map((value) => Number(value.toFixed(3))));
    }
    paint();
  };
  const draw = (event) => {
    if (!event.buttons) return;
    const box = event.currentTarget.getBoundingClientRect();
    spray(((event.clientX - box.left) / box.width) * 2 - 1, 1 - ((event.clientY - box.top) / box.height) * 2);
  };
  return html`<${Dialog} title="Draw what G should imitate" open=${open} onClose=${onClose}>
    <p class="help">Draw with the mouse, a pen or a finger.</p>
    <canvas ref=${canvas} class="drawing" width="320" height="320" role="img" aria-label=${`Your drawing, ${count} points`} onPointerDown=${(event) => { event.currentTarget.setPointerCapture(event.pointerId); draw(event); }} onPointerMove=${draw}></canvas>
    <div class="row">
      <${Button} kind="main" disabled=${count < 20} onClick=${() => onDone(points.current)}>Train on these ${count} points<//>
      <${Button} onClick=${() => { points.current = []; paint(); }}>Clear<//>
      <${Button} onClick=${() => { for (let each = 0; each < 40; each += 1) { const angle = (each / 40) * 2 * Math.PI; spray(0.6 * Math.cos(angle), 0.6 * Math.sin(angle)); } }}>A circle<//>
      <${Button} onClick=${() => { for (let each = 0; each < 40; each += 1) spray(-0.7 + (1.4 * each) / 40, -0.7 + (1.4 * each) / 40); }}>A line<//>
      <${Button} onClick=${() => { for (let each = 0; each < 45; each += 1) spray([-0.5, 0.5, 0][each % 3], [-0.4, -0.4, 0.5][each % 3]); }}>Three spots<//>
      <${Button} onClick=${() => { for (let each = 0; each < 40; each += 1) spray(-0.8 + (1.6 * each) / 40, 0.5 * Math.sin((each / 40) * 2 * Math.PI)); }}>A wave<//>
    </div>
  <//>`;
}
