// Pages of the documentation in a dialog: those of the experiments, and the glossary.

import { html, useMemo } from "./vendor/preact.js";
import { Dialog, Notice, useLoad } from "./ui.js";
import { address, request } from "./http.js";
import { blocks } from "./markdown.js";

/** A page of the documentation. */
export function DocsDialog({ name, onClose }) {
  const page = useLoad((signal) => (name ? request(`learn/docs/${name}`, { signal }).then((answer) => answer.text()) : Promise.resolve("")), [name]);
  const text = page.value ?? "";
  const title = useMemo(() => /^# (.*)$/m.exec(text)?.[1] ?? "Documentation", [text]);
  return html`<${Dialog} title=${title} open=${Boolean(name)} onClose=${onClose}>
    <div class="stack docs">${page.problem ? html`<${Notice} kind="bad">${page.problem.message}<//>` : blocks(text, (file) => address(`learn/docs/${file}`))}</div>
  <//>`;
}
