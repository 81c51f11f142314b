// The page of `gansmith export --to html`: Explore with the model in the file.

import { html, render, useEffect, useState } from "./vendor/preact.js";
import { Button, KeysDialog, Notice, ThemeButton, useHotkeys } from "./ui.js";
import { openOnnxEngine } from "./engine_onnx.js";
import { Explore } from "./explore.js";
import { Translate } from "./translate.js";

const model = JSON.parse(document.getElementById("model").textContent);

function Page() {
  const [opened, setOpened] = useState({});
  const [query, setQuery] = useState(location.hash.replace(/^#\/?\??/, ""));
  const [keysOpen, setKeysOpen] = useState(false);
  useEffect(() => {
    openOnnxEngine(model).then((engine) => setOpened({ engine }), (problem) => setOpened({ problem }));
    const change = () => setQuery(location.hash.replace(/^#\/?\??/, ""));
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  useHotkeys({ "?": ["Show the keys", () => setKeysOpen(true)] });
  const write = (text) => {
    history.replaceState(null, "", `#${text}`);
    setQuery(text);
  };
  const Kind = model.method === "latent" ? Explore : Translate;
  return html`
    <header class="bar"><span class="brand">${model.name}</span>
      <div class="tools"><${ThemeButton} /><${Button} kind="quiet" label="Keys" title="Keys (?)" onClick=${() => setKeysOpen(true)}>?<//></div></header>
    <main id="main" tabindex="-1">
      ${opened.problem && html`<${Notice} kind="bad">${opened.problem.message}<//>`}
      ${!opened.engine && !opened.problem && html`<p class="soft">Unpacking the model …</p>`}
      ${opened.engine && html`<${Kind} engine=${opened.engine} query=${query} onQuery=${write} heading=${html`<h1>Explore</h1>`} />`}
    </main>
    <div id="live" class="unseen" role="status" aria-live="polite"></div>
    <${KeysDialog} open=${keysOpen} onClose=${() => setKeysOpen(false)} />`;
}

const app = document.getElementById("app");
app.textContent = "";
render(html`<${Page} />`, app);
