// The state of an image as an object and as a query, and all of Explore's page as an address.
//
// A state is {seeds: ["3", "7:3"], weights: [1, 1], truncation: null, labels: null | {name: weight}, moves: {"dir0": 1.5,
// "z12": -0.4}, latent: null | Float32Array}. web/drawing.py reads the same query.

import { classAt, parseName } from "./latents.js";

/** Return a state of one image of `gansmith sample`. */
export function stateOf(name, changes = {}) {
  return { seeds: [name], weights: [1], truncation: null, labels: null, moves: {}, latent: null, ...changes };
}

/** Return a number as text with at most 4 digits after the point. */
export function short(number) {
  return String(Math.round(number * 1e4) / 1e4);
}

const pairs = (values) => Object.keys(values).sort().filter((name) => Math.round(values[name] * 1e4) !== 0)
  .map((name) => `${name}:${short(values[name])}`).join(",");

/** Return bytes as base64url text. */
export function toText(floats) {
  let text = "";
  for (const byte of new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength)) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Return the floats of base64url text; RangeError if it is damaged. */
export function toFloats(text) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
  } catch {
    throw new RangeError("The latent in this address is damaged.");
  }
  if (!bytes.length || bytes.length % 4) throw new RangeError("The latent in this address is damaged.");
  const floats = new Float32Array(bytes.buffer);
  if (!floats.every(Number.isFinite)) throw new RangeError("The latent in this address is damaged.");
  return floats;
}

/** Return a state as URLSearchParams, in a fixed order and without defaults: equal states give equal text. */
export function toQuery(state) {
  const query = new URLSearchParams();
  if (state.latent) query.set("latent", toText(state.latent));
  else {
    query.set("seeds", state.seeds.join(","));
    if (state.weights.some((weight) => weight !== 1) && state.seeds.length > 1) query.set("weights", state.weights.map(short).join(","));
    if (state.truncation !== null) query.set("truncation", short(state.truncation));
  }
  if (state.labels && pairs(state.labels)) query.set("labels", pairs(state.labels));
  if (pairs(state.moves)) query.set("moves", pairs(state.moves));
  return query;
}

/** Return the text of a state: its identity. */
export function keyOf(state) {
  return toQuery(state).toString();
}

const readPairs = (text) => Object.fromEntries((text ?? "").split(",").filter(Boolean).map((pair) => {
  const cut = pair.lastIndexOf(":");
  const value = Number(pair.slice(cut + 1));
  if (cut < 1 || !Number.isFinite(value)) throw new RangeError(`"${pair}" is not NAME:NUMBER.`);
  return [pair.slice(0, cut), value];
}));

/** Return the state of a query, or null if it has none; RangeError for one that cannot be. ``model`` has latent_dim, classes. */
export function fromQuery(query, model) {
  if (!query.has("seeds") && !query.has("latent")) return null;
  const state = stateOf("0");
  if (query.has("latent")) {
    state.latent = toFloats(query.get("latent"));
    if (state.latent.length !== model.latent_dim) throw new RangeError("The latent in this address is from another model.");
  } else {
    state.seeds = query.get("seeds").split(",");
    state.seeds.forEach(parseName);
    state.weights = query.has("weights") ? query.get("weights").split(",").map(Number) : state.seeds.map(() => 1);
    if (state.weights.length !== state.seeds.length || !state.weights.every(Number.isFinite)) throw new RangeError("Weights need a number for each seed.");
    if (query.has("truncation")) state.truncation = Number(query.get("truncation"));
    if (state.truncation !== null && !(state.truncation > 0)) throw new RangeError("Truncation must be above 0.");
  }
  if (query.has("labels")) {
    state.labels = readPairs(query.get("labels"));
    for (const name of Object.keys(state.labels)) if (!model.classes || classAt(name, model.classes) < 0) throw new RangeError(`This model has no class "${name}".`);
  }
  state.moves = readPairs(query.get("moves"));
  for (const name of Object.keys(state.moves)) {
    const most = name[0] === "d" ? model.directions?.length ?? 0 : model.latent_dim;
    if (!/^(dir|z)\d{1,4}$/.test(name) || Number(name.replace(/^\D+/, "")) >= most) throw new RangeError(`This model cannot move "${name}".`);
  }
  return state;
}

/** Return the key of a class in the labels of a state: its name, or its number where the name has a comma or colon. */
export function classKey(name, classes) {
  return /[,:]/.test(name) ? String(classes.indexOf(name)) : name;
}

/** Return the state one step further, if the last two steps moved it equally along directions or numbers; else null. */
export function further(before, last, now) {
  if (!before || !last || !now) return null;
  const rest = [before, last, now].map((state) => keyOf({ ...state, moves: {} }));
  const names = Object.keys({ ...before.moves, ...last.moves, ...now.moves });
  const step = (name, from, to) => (to.moves[name] ?? 0) - (from.moves[name] ?? 0);
  const isEven = names.every((name) => Math.abs(step(name, before, last) - step(name, last, now)) < 1e-6);
  if (rest.some((each) => each !== rest[0]) || !isEven || !names.some((name) => step(name, last, now))) return null;
  return { ...now, moves: Object.fromEntries(names.map((name) => [name, Number(short((now.moves[name] ?? 0) + step(name, last, now)))])) };
}

/** Return a state as JSON for a PNG's text, and back. */
export function toJson(state) {
  return { ...state, latent: state.latent && toText(state.latent) };
}

export function fromJson(json, model) {
  return fromQuery(queryOfJson(json), model);
}

/** Return the query of a state that a PNG's text holds, unchecked: whose model it is decides what it may be. */
export function queryOfJson(json) {
  const query = new URLSearchParams();
  if (json.latent) query.set("latent", json.latent);
  else query.set("seeds", (json.seeds ?? []).join(","));
  if (json.weights?.length && !json.latent) query.set("weights", json.weights.join(","));
  if (json.truncation && !json.latent) query.set("truncation", json.truncation);
  if (json.labels) query.set("labels", pairs(json.labels));
  if (json.moves) query.set("moves", pairs(json.moves));
  return query;
}

/** Return what an image is, in a few words: "3", "3 + 5 - 7", "photo", "3, moved". */
export function nameOf(state) {
  const signs = state.seeds.map((name, row) => `${row ? (state.weights[row] < 0 ? " − " : " + ") : ""}${name}`);
  const name = state.latent ? "of a latent" : signs.length > 5 ? `mix of ${signs.length}` : signs.join("");
  return Object.values(state.moves).some((by) => Math.round(by * 1e4)) ? `${name}, moved` : name;
}
