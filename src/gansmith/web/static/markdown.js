// Texts in Markdown, such as pages of the documentation and cards of models.

import { html } from "./vendor/preact.js";

/** Return the paragraphs, headings, lists, tables, formulas and pictures of a text; ``source(file)`` is a picture's address. */
export function blocks(text, source) {
  const plain = text.replace(/^# .*$/m, "").replace(/^<details><summary>(.*)<\/summary>$/gm, "### $1").replace(/^<\/details>$/gm, "");
  const parts = plain.split(/^(```[^]*?^```)$/m).flatMap((part) => (part.startsWith("```") ? [part] : part.split(/\n\s*\n/)));
  return parts.map((part) => part.trim()).filter(Boolean).map((part, index) => {
    const picture = /^!\[([^\]]*)\]\((?:.*\/)?([a-z0-9-]+\.png)\)$/s.exec(part);
    if (picture) return source && html`<img key=${index} class="picture" src=${source(picture[2])} alt=${picture[1].replace(/\s+/g, " ")} />`;
    if (part.startsWith("#")) return html`<h3 key=${index}>${inline(part.replace(/^#+ /, ""))}</h3>`;
    if (part.startsWith("- ")) return html`<ul key=${index}>${part.split(/\n(?=- )/).map((each, place) => html`<li key=${place}>${inline(each.slice(2))}</li>`)}</ul>`;
    if (part.startsWith("$$")) return html`<p key=${index} class="formula">${formula(part.replaceAll("$$", ""))}</p>`;
    if (part.startsWith("```")) return html`<pre key=${index} tabindex="0">${part.replace(/^```.*\n|\n?```$/g, "")}</pre>`;
    if (!part.startsWith("|")) return html`<p key=${index}>${inline(part)}</p>`;
    const [head, , ...rows] = part.split("\n").map((line) => line.split("|").slice(1, -1).map((cell) => inline(cell.trim())));
    return html`<div key=${index} class="scroll" tabindex="0" role="region" aria-label="Table"><table>
      <thead><tr>${head.map((cell, at) => (cell.join("") ? html`<th key=${at} scope="col">${cell}</th>` : html`<td key=${at}></td>`))}</tr></thead>
      <tbody>${rows.map((row, at) => html`<tr key=${at}>${row.map((cell, place) => html`<td key=${place}>${cell}</td>`)}</tr>`)}</tbody></table></div>`;
  });
}

/** Return a formula of TeX as plain text. */
function formula(tex) {
  return tex.replace(/\\frac\{([^{}]*)\}\{([^{}]*)\}/g, "$1/$2 ").replace(/\\left|\\right/g, "").replace(/\\qquad/g, " \u2003")
    .replaceAll("\\sigma", "σ").replace(/\\([a-z]+)/g, "$1").replace(/[{}]/g, "").replaceAll("-", "−").replace(/[ \n]+/g, " ").trim();
}

/** Return the words of a paragraph with bold, slanted and code parts; links stay as their words. */
function inline(text) {
  const flat = text.replace(/\s+/g, " ").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/\$([^$]*)\$/g, (_, tex) => formula(tex));
  return flat.split(/(\*\*[^*]+\*\*|\*[^*]+\*|`[^`]+`)/).map((part) => {
    if (part.startsWith("**")) return html`<b>${part.slice(2, -2)}</b>`;
    if (part.startsWith("*") && part.length > 2) return html`<em>${part.slice(1, -1)}</em>`;
    return part.startsWith("`") ? html`<code>${part.slice(1, -1)}</code>` : part;
  });
}
