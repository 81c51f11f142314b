// The page of `gansmith export --to html`: Explore with the model in the file.

import { html, useEffect, useState } from "./vendor/preact.js";
import { Notice, Shell, show } from "./ui.js";
import { openOnnxEngine } from "./engine_onnx.js";
import { Explore } from "./explore.js";
import { Translate } from "./translate.js";

const model = JSON.parse(document.getElementById("model").textContent);

function Page() {
  const [opened, setOpened] = useState({});
  const [query, setQuery] = useState(location.hash.replace(/^#\/?\??/, ""));
  useEffect(() => {
    openOnnxEngine(model).then((engine) => setOpened({ engine }), (problem) => setOpened({ problem }));
    const change = () => setQuery(location.hash.replace(/^#\/?\??/, ""));
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  const write = (text) => {
    history.replaceState(null, "", `#${text}`);
    setQuery(text);
  };
  const Kind = model.method === "latent" ? Explore : Translate;
  return html`
    <${Shell} bar=${html`<span class="brand">${model.name}</span>`}>
      ${opened.problem && html`<${Notice} kind="bad">${opened.problem.message}<//>`}
      ${!opened.engine && !opened.problem && html`<p class="soft">Unpacking the model …</p>`}
      ${opened.engine && html`<${Kind} engine=${opened.engine} query=${query} onQuery=${write} heading=${html`<h1>Explore</h1>`} />`}
    <//>`;
}

show(Page);
