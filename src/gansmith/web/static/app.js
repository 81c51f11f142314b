// The page: four places, each a module that is loaded when it is opened; the address after # says which one.

import { html, useEffect, useState } from "./vendor/preact.js";
import { Button, Notice, Shell, show, useHotkeys } from "./ui.js";
import { DocsDialog } from "./docs.js";

// Each module exports Place({ id, query, go, replace }).
const PLACES = {
  explore: ["Explore", "Look at a model's images and steer them", () => import("./explore_place.js")],
  watch: ["Watch", "Follow training runs", () => import("./watch.js")],
  judge: ["Judge", "Measure a model", () => import("./judge.js")],
  learn: ["Learn", "Train a small GAN here and see how it works", () => import("./learn.js")],
};

/** Return a part of an address without its %-signs; one with a stray % as it stands. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Return {place, id, query} of "#/explore/demo?seeds=3". */
export function readRoute(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [place, ...rest] = path.split("/");
  return { place: Object.hasOwn(PLACES, place) ? place : "explore", id: decoded(rest.join("/")), query: new URLSearchParams(query) };
}

/** Return the address of a place. */
export function hrefOf(place, id = "", query = null) {
  const text = query ? query.toString() : "";
  return `#/${place}${id ? `/${encodeURIComponent(id)}` : ""}${text ? `?${text}` : ""}`;
}

function App() {
  const [route, setRoute] = useState(readRoute(location.hash));
  const [module, setModule] = useState({});
  const [glossary, setGlossary] = useState(false);

  useEffect(() => {
    const change = () => setRoute(readRoute(location.hash));
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  useEffect(() => {
    let wanted = true;
    document.title = `${PLACES[route.place][0]} – gansmith studio`;
    PLACES[route.place][2]().then(
      (found) => { if (wanted) setModule({ place: route.place, Place: found.Place }); },
      (problem) => { if (wanted) setModule({ place: route.place, problem }); },
    );
    return () => { wanted = false; };
  }, [route.place]);
  useHotkeys({
    1: ["Explore", () => go("explore")], 2: ["Watch", () => go("watch")],
    3: ["Judge", () => go("judge")], 4: ["Learn", () => go("learn")],
    h: ["What the words mean", () => setGlossary(true)],
  });

  /** Open a place; the browser's Back button returns. */
  const go = (place, id, query) => { location.hash = hrefOf(place, id, query); };
  /** Change the address of this place without a step for Back; nothing if the person has left it, or the model `only`. */
  const replace = (place, id, query, only = "") => {
    const now = readRoute(location.hash);
    if (now.place !== place || (only && now.id && now.id !== only)) return;
    history.replaceState(null, "", hrefOf(place, id, query));
    setRoute(readRoute(location.hash));
  };

  return html`
    <${Shell} bar=${html`<a class="brand" href="#/explore"><img src="static/icon.svg" alt="" />gansmith studio</a>
      <nav class="places" aria-label="Places">
        ${Object.entries(PLACES).map(([name, [place, title]]) => html`<a key=${name} href=${hrefOf(name)} title=${title}
          aria-current=${name === route.place ? "page" : undefined}>${place}</a>`)}
      </nav>`} tools=${html`<${Button} kind="quiet" hotkey="h" title="What the words mean (h)" onClick=${() => setGlossary(true)}>Glossary<//>`}>
      <${DocsDialog} name=${glossary && "glossary"} onClose=${() => setGlossary(false)} />
      ${module.problem && html`<${Notice} kind="bad">This part of the page could not be loaded: ${module.problem.message}. Is gansmith studio still running in the terminal? Then reload the page.<//>`}
      ${module.Place && module.place === route.place
        && html`<${module.Place} key=${route.place} id=${route.id} query=${route.query} go=${go} replace=${replace} />`}
    <//>`;
}

show(App);
