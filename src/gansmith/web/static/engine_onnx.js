// The engine of a page in one file: generate(states) -> pictures, drawn by onnxruntime-web in a worker.

import { fromQuery, keyOf, toJson, toQuery } from "./state.js";
import { resolve, walk } from "./latents.js";
import { withText } from "./png.js";
import { paint } from "./picture.js";

const BATCH = 16; // images that are drawn at once
const MOST_KEPT = 600;
const MOST_PIXELS = 1_500_000; // of a picture to translate: the page has no tiles
const workers = []; // Firefox ends a worker that only its own pending answer refers to, as while it compiles wasm

/** Return the bytes of the element ``id``, which holds base64 of gzip. */
async function unpack(id) {
  const text = document.getElementById(id).textContent;
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old to unpack this file: it lacks DecompressionStream.\nOpen it in Chrome or Edge 80, Firefox 113, Safari 16.4, or newer.");
  }
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Return a function that sends a message to a worker and returns the promise of its answer. */
function messenger(worker) {
  const waiting = new Map();
  let next = 0;
  const fail = (words) => {
    for (const { reject } of waiting.values()) reject(new Error(words));
    waiting.clear();
  };
  worker.addEventListener("message", ({ data }) => {
    const { resolve: done, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.problem) reject(new Error(`The model failed in this browser: ${data.problem}`));
    else done(data);
  });
  worker.addEventListener("error", (event) => fail(`The model could not be started in this browser: ${event.message}`));
  return (message, transfer = []) => new Promise((done, reject) => {
    next += 1;
    waiting.set(next, { resolve: done, reject });
    worker.postMessage({ ...message, id: next }, transfer);
  });
}

/** Return ImageData of one image of N, uint8 (N, H, W, C). */
function imageData(pixels, [, height, width, channels], row) {
  const out = new ImageData(width, height);
  const start = row * height * width * channels;
  for (let at = 0; at < height * width; at += 1) {
    const from = start + at * channels;
    for (let channel = 0; channel < 3; channel += 1) out.data[4 * at + channel] = pixels[from + (channels < 3 ? 0 : channel)];
    out.data[4 * at + 3] = channels === 4 ? pixels[from + 3] : 255;
  }
  return out;
}

function toBlob(canvas) {
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}

/** Return the engine of the model in this file. */
export async function openOnnxEngine(model) {
  const [wasm, weights, code] = await Promise.all([unpack("wasm"), unpack("weights"), unpack("worker")]);
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const worker = new Worker(url);
  workers.push(worker);
  const send = messenger(worker);
  await send({ wasm: wasm.buffer, model: weights }, [wasm.buffer, weights.buffer]);
  URL.revokeObjectURL(url);

  /** Draw {latent, labels} of N images at once. */
  const draw = async (points) => {
    const feeds = { latents: { kind: "float32", values: flat(points, "latent"), shape: [points.length, model.latent_dim] } };
    if (model.classes) feeds.labels = { kind: "float32", values: flat(points, "labels"), shape: [points.length, model.classes.length] };
    const { pixels, shape } = await send({ feeds });
    return points.map((_, row) => imageData(pixels, shape.map(Number), row));
  };
  const flat = (points, name) => Float32Array.from(points.flatMap((point) => Array.from(point[name])));
  const exact = (state) => fromQuery(toQuery(state), model); // the numbers of the address, so that both draw the same

  const kept = new Map();
  let waiting = [];
  const drawWaiting = async () => {
    while (waiting.length) {
      const batch = waiting.splice(0, BATCH);
      try {
        const pictures = await draw(batch.map((each) => each.point));
        batch.forEach((each, at) => each.done(pictures[at]));
      } catch (problem) {
        for (const each of batch) each.reject(problem);
      }
    }
  };
  const one = (state) => {
    const key = keyOf(state);
    if (!kept.has(key)) {
      if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value);
      kept.set(key, new Promise((done, reject) => {
        if (!waiting.length) setTimeout(drawWaiting); // images that are asked for together are drawn together
        waiting.push({ point: resolve(exact(state), model), done, reject });
      }));
      kept.get(key).catch(() => kept.delete(key));
    }
    return kept.get(key);
  };

  return {
    model,
    generate: (states) => Promise.all(states.map(one)),
    file: async (state) => {
      const canvas = document.createElement("canvas");
      paint(canvas, await one(state));
      const png = new Uint8Array(await (await toBlob(canvas)).arrayBuffer());
      const text = JSON.stringify({ model: model.id, version: model.version, recipe: model.recipe, states: [toJson(exact(state))] });
      return new Blob([withText(png, "gansmith", text)], { type: "image/png" });
    },
    resolve: async (state) => resolve(exact(state), model),
    frames: async (stops, frames, closed) => {
      const points = walk(stops.map((state) => resolve(exact(state), model)), frames, closed);
      const out = [];
      for (let at = 0; at < points.length; at += BATCH) out.push(...await draw(points.slice(at, at + BATCH)));
      return out;
    },
    /** Return the picture that a translator or upscaler makes of an image file, worked on as one tile. */
    translate: async (file) => {
      const picture = await createImageBitmap(file);
      const { width, height } = picture;
      if (width * height > MOST_PIXELS) {
        throw new Error(`${width} × ${height} px are too many for this page: at most ${MOST_PIXELS.toLocaleString("en")} pixels.\nFor larger ones: gansmith ${model.method === "upscaler" ? "upscale" : "translate"} MODEL IMAGE`);
      }
      const canvas = document.createElement("canvas");
      paint(canvas, picture);
      const rgba = canvas.getContext("2d").getImageData(0, 0, width, height).data;
      const round = (side) => Math.ceil(side / model.multiple) * model.multiple;
      const [rows, columns, channels] = [round(height), round(width), model.channels];
      const values = new Uint8Array(rows * columns * channels);
      for (let y = 0; y < rows; y += 1) {
        for (let x = 0; x < columns; x += 1) { // what is missing to a whole multiple repeats the edge
          const from = 4 * (Math.min(y, height - 1) * width + Math.min(x, width - 1));
          const at = (y * columns + x) * channels;
          if (channels === 1) values[at] = Math.round(0.299 * rgba[from] + 0.587 * rgba[from + 1] + 0.114 * rgba[from + 2]);
          else for (let channel = 0; channel < channels; channel += 1) values[at + channel] = rgba[from + channel];
        }
      }
      const made = await send({ feeds: { images: { kind: "uint8", values, shape: [1, rows, columns, channels] } } });
      const full = document.createElement("canvas");
      paint(full, imageData(made.pixels, made.shape.map(Number), 0));
      const cut = document.createElement("canvas");
      [cut.width, cut.height] = [width * model.scale, height * model.scale];
      cut.getContext("2d").drawImage(full, 0, 0);
      return toBlob(cut);
    },
  };
}
