// Requests to the server: JSON, pictures, uploads, events. Every failure is an ApiError with a code and plain words.

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Return the address of an API path with its query, an object or URLSearchParams; null and "" are left out. */
export function address(path, query = {}) {
  const pairs = (query instanceof URLSearchParams ? [...query] : Object.entries(query)).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(pairs).toString();
  return `v1/${path}${text ? `?${text}` : ""}`;
}

/** Return the response of a request; ApiError for a refusal, a lost connection, or an answer that is no answer. */
export async function request(path, { query, signal, ...options } = {}) {
  let response;
  try {
    response = await fetch(address(path, query), { signal, ...options });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new ApiError(0, "studio.gone", "gansmith studio does not answer. Is it still running in the terminal?");
  }
  if (response.ok) return response;
  let told = null;
  try {
    told = (await response.json()).error;
  } catch {
    // a proxy may answer with something else
  }
  throw new ApiError(response.status, told?.code ?? "studio.refused", told?.message ?? `The server answered ${response.status}.`);
}

export async function getJson(path, query, signal) {
  return (await request(path, { query, signal })).json();
}

/** Send an object as JSON; return the answer. ``method`` may also be DELETE. */
export async function sendJson(path, body = {}, { method = "POST", query, signal } = {}) {
  const headers = { "content-type": "application/json" };
  const response = await request(path, { method, query, signal, headers, body: JSON.stringify(body) });
  return response.status === 204 ? null : response.json();
}

const SILENCE_MS = 40_000; // the server speaks at least every 15 seconds
const RETRY_MS = 3000;
const UNSEEN_MS = 2000; // who only passes through a tab keeps its stream

/**
 * Call ``handlers[name](data)`` for each server-sent event until the returned function is called.
 *
 * A stream that is lost is asked for again: by the browser, and here where the browser gives up, or nothing comes for a
 * time. Where the server gives its events ids, it goes on after the last one received. ``onState`` hears "waiting",
 * "open", and "closed" with the reason, if the server has nothing to send any more. With ``rests`` a page that nobody
 * sees ends its stream after a time, hears "resting", and asks again when it is seen: a browser keeps at most six
 * connections to a server for all of its tabs, and with six streams no other request passes.
 */
export function listen(path, handlers, { query, onState, rests = false } = {}) {
  let source = null;
  let timer = null;
  let wanted = true;
  let resting = false;
  let last = ""; // id of the last event received
  const later = (work, milliseconds) => {
    clearTimeout(timer);
    if (wanted && !resting) timer = setTimeout(work, milliseconds);
  };
  const heard = () => later(() => { onState?.("waiting"); open(); }, SILENCE_MS);
  const open = () => {
    source?.close();
    if (!wanted || resting) return;
    const rest = new URLSearchParams(query);
    if (last) rest.set("after", last);
    source = new EventSource(address(path, rest));
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => { heard(); last = event.lastEventId; handle(JSON.parse(event.data), event); });
    }
    source.addEventListener("here", heard);
    source.addEventListener("open", () => { heard(); onState?.("open"); });
    source.addEventListener("error", () => {
      onState?.("waiting");
      if (source.readyState === EventSource.CLOSED) later(ask, RETRY_MS);
    });
    heard();
  };
  const ask = async () => {
    try {
      await (await request(path, { query })).body.cancel();
      open();
    } catch (problem) {
      if (problem.status === 404) { if (wanted) onState?.("closed", problem.message); } else later(ask, RETRY_MS);
    }
  };
  const rest = () => {
    resting = true;
    clearTimeout(timer);
    source?.close();
    onState?.("resting");
  };
  let leaving = null;
  const seen = () => {
    clearTimeout(leaving);
    if (document.hidden) leaving = setTimeout(rest, UNSEEN_MS);
    else if (resting) {
      resting = false;
      open();
    }
  };
  if (rests) {
    document.addEventListener("visibilitychange", seen);
    seen();
  }
  open();
  return () => {
    wanted = false;
    document.removeEventListener("visibilitychange", seen);
    clearTimeout(leaving);
    clearTimeout(timer);
    source?.close();
  };
}

const MOST_UPLOAD = 32 * 2 ** 20; // bytes; a server that refuses more closes the connection before a page can read why

/** Send bytes; call ``onProgress({done, total})`` while the server works; return the event "result". */
export async function sendFile(path, file, { query, signal, onProgress } = {}) {
  if (file.size > MOST_UPLOAD) throw new ApiError(413, "web.body_too_large", `This file has ${Math.ceil(file.size / 2 ** 20)} MiB; at most 32 MiB can be sent. Make it smaller.`);
  const headers = { "content-type": "application/octet-stream", accept: "text/event-stream" };
  const response = await request(path, { method: "POST", body: file, query, signal, headers });
  if (!response.headers.get("content-type").startsWith("text/event-stream")) return response.json();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { value, done } = await reader.read();
    const events = (rest + (value ?? "")).split(/\r?\n\r?\n/);
    rest = events.pop();
    for (const event of events) {
      const name = /^event: ?(.*)$/m.exec(event)?.[1];
      const data = [...event.matchAll(/^data: ?(.*)$/gm)].map((line) => line[1]).join("\n");
      if (name === "progress") onProgress?.(JSON.parse(data));
      if (name === "result") return JSON.parse(data);
      if (name === "error") {
        const problem = JSON.parse(data);
        throw new ApiError(500, problem.code, problem.message);
      }
    }
    if (done) throw new ApiError(0, "studio.gone", "The server ended the work without a result. Try again; its terminal may say why.");
  }
}
