// The engine of a page with a server: generate(states) -> pictures, asked from gansmith's HTTP API.

import { ApiError, address, getJson, request, sendFile, sendJson } from "./http.js";
import { keyOf, short, toFloats, toJson, toQuery } from "./state.js";

const MOST_STRIP_PX = 16_384; // width of a strip
const MOST_KEPT = 600; // pictures that are kept in memory
const TRIES = 4; // where the server is busy

const wait = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); });
});

/** Return the engine of a model of the server. */
export async function openHttpEngine(id, signal) {
  const base = `models/${encodeURIComponent(id)}`;
  const model = await getJson(base, {}, signal);
  const version = { version: model.version }; // with it an answer never changes, and the browser keeps it
  const kept = new Map();

  const fetchPicture = async (path, query, stop) => {
    for (let tried = 1; ; tried += 1) {
      try {
        const response = await request(path, { query, signal: stop });
        return await createImageBitmap(await response.blob(), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
      } catch (problem) {
        if (!(problem instanceof ApiError) || ![429, 503].includes(problem.status) || tried === TRIES) throw problem;
        await wait(200 * 2 ** tried, stop);
      }
    }
  };
  const one = (state, stop) => {
    const key = keyOf(state);
    if (!kept.has(key)) {
      if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value);
      const made = fetchPicture(`${base}/image.png`, { ...Object.fromEntries(toQuery(state)), ...version }, stop);
      kept.set(key, made);
      made.catch(() => kept.delete(key));
    }
    return kept.get(key);
  };
  const path = (stops, options) => {
    const query = new URLSearchParams({ ...options, ...version });
    for (const state of stops) query.append("at", keyOf(state));
    return query;
  };
  const permalink = (state) => new URL(address(`${base}/image.png`, { ...Object.fromEntries(toQuery(state)), ...version }), document.baseURI).href;

  return {
    model,
    /** Return the pictures of states, drawable on a canvas. */
    generate: (states, stop) => Promise.all(states.map((state) => one(state, stop))),
    /** Return the address of an image's PNG. */
    permalink,
    /** Return a PNG whose text holds the state. */
    file: async (state) => (await request(`${base}/image.png`, { query: { ...Object.fromEntries(toQuery(state)), ...version } })).blob(),
    /** Return {latent, labels} of a state. */
    resolve: async (state) => {
      const found = await sendJson(`${base}/latent`, toJson(state));
      return { latent: toFloats(found.latent), labels: found.labels };
    },
    mostFrames: Math.floor(MOST_STRIP_PX / model.size[1]),
    /** Return the frames of a walk over states, drawable on a canvas. */
    frames: async (stops, frames, closed, stop) => {
      const strip = await fetchPicture(`${base}/strip.png`, path(stops, { frames, closed: closed ? 1 : 0 }), stop);
      const width = strip.width / frames;
      return Promise.all(Array.from({ length: frames }, (_, at) => createImageBitmap(strip, at * width, 0, width, strip.height)));
    },
    /** Return [words, address] of the files that a walk can be saved as. */
    films: (stops, frames, closed, seconds) => {
      const options = { frames, closed: closed ? 1 : 0 };
      const of = (name, more = {}) => address(`${base}/${name}`, path(stops, { ...options, ...more }));
      return [["GIF", of("walk.gif", { seconds: short(seconds) })], ["MP4", of("walk.mp4", { seconds: short(seconds) })], ["Strip", of("strip.png")]];
    },
    /** Return {latent, labels} of an image file: its latent, found by a search in a process of its own. */
    invert: async (file, { onShare }, stop) => {
      const found = await sendFile(`${base}/invert`, file, { signal: stop, onProgress: shareOf(onShare) });
      return { latent: toFloats(found.latent), labels: found.labels };
    },
    /** Return the picture that a translator or upscaler makes of an image file. */
    translate: async (file, { generator, onShare }, stop) => {
      const query = { generator };
      const found = await sendFile(`${base}/translate`, file, { query, signal: stop, onProgress: shareOf(onShare) });
      return new Blob([Uint8Array.from(atob(found.png), (each) => each.charCodeAt(0))], { type: "image/png" });
    },
  };
}

const shareOf = (onShare) => ({ done, total }) => onShare?.(total ? done / total : null);
