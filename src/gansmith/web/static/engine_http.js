// The engine of a page with a server: generate(states) -> pictures, asked from gansmith's HTTP API.

import { ApiError, address, getJson, request, sendJson } from "./http.js";
import { keyOf, toFloats, toJson, toQuery } from "./state.js";

const MOST_KEPT = 600; // pictures that are kept in memory
const TRIES = 4; // where the server is busy

const wait = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); });
});

/** Return the engine of a model of the server. */
export async function openHttpEngine(id, signal) {
  const model = await getJson(`models/${encodeURIComponent(id)}`, {}, signal);
  const base = `models/${encodeURIComponent(id)}`;
  const kept = new Map();

  const fetchPicture = async (path, stop) => {
    for (let tried = 1; ; tried += 1) {
      try {
        const response = await request(path, { signal: stop });
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
      const made = fetchPicture(`${base}/image.png?${key}`, stop);
      kept.set(key, made);
      made.catch(() => kept.delete(key));
    }
    return kept.get(key);
  };
  const path = (stops, options) => {
    const query = new URLSearchParams(options);
    for (const state of stops) query.append("at", keyOf(state));
    return query;
  };

  return {
    model,
    remote: true,
    /** Return the pictures of states, drawable on a canvas. */
    generate: (states, stop) => Promise.all(states.map((state) => one(state, stop))),
    /** Return the address of an image's PNG. */
    permalink: (state) => new URL(address(`${base}/image.png`, Object.fromEntries(toQuery(state))), document.baseURI).href,
    /** Return a PNG whose text holds the state. */
    file: async (state) => (await request(`${base}/image.png?${keyOf(state)}&download=1`)).blob(),
    /** Return {latent, labels} of a state. */
    resolve: async (state) => {
      const found = await sendJson(`${base}/latent`, toJson(state));
      return { latent: typeof found.latent === "string" ? toFloats(found.latent) : Float32Array.from(found.latent), labels: found.labels };
    },
    /** Return the frames of a walk over states, drawable on a canvas. */
    frames: async (stops, frames, closed, stop) => {
      const strip = await fetchPicture(`${base}/strip.png?${path(stops, { frames, closed: closed ? 1 : 0 })}`, stop);
      const width = strip.width / frames;
      return Promise.all(Array.from({ length: frames }, (_, at) => createImageBitmap(strip, at * width, 0, width, strip.height)));
    },
    /** Return [words, address] of the files that a walk can be saved as. */
    films: (stops, frames, closed, seconds) => [
      ["GIF", address(`${base}/walk.gif`) + `?${path(stops, { frames, closed: closed ? 1 : 0, seconds })}`],
      ["MP4", address(`${base}/walk.mp4`) + `?${path(stops, { frames, closed: closed ? 1 : 0, seconds })}`],
      ["Strip", address(`${base}/strip.png`) + `?${path(stops, { frames, closed: closed ? 1 : 0 })}`],
    ],
    /** Return {latent, labels} of an image file: its latent, found by a search in a process of its own. */
    invert: async (file, stop) => {
      const response = await request(`${base}/invert`, { method: "POST", body: file, signal: stop, headers: { "content-type": "application/octet-stream" } });
      const found = await response.json();
      return { latent: typeof found.latent === "string" ? toFloats(found.latent) : Float32Array.from(found.latent), labels: found.labels };
    },
    /** Return the picture that a translator or upscaler makes of an image file. */
    translate: async (file, { reverse = false } = {}, stop) => {
      const response = await request(`${base}/translate`, {
        method: "POST", body: file, signal: stop, query: reverse ? { reverse: 1 } : {}, headers: { "content-type": "application/octet-stream" },
      });
      return response.blob();
    },
  };
}
