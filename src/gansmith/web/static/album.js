// The page of an album in one file: frames of an interpolation or of a run's film, with a slider for time.

import { html, useEffect, useState } from "./vendor/preact.js";
import { Button, Check, Panel, Shell, Slider, saveFile, show, useHotkeys } from "./ui.js";

const album = JSON.parse(document.getElementById("album").textContent);
const links = album.frames.map((frame) => `data:image/png;base64,${frame}`);

function Page() {
  const count = links.length;
  const [frame, setFrame] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [loop, setLoop] = useState(true);
  const [speed, setSpeed] = useState(Math.max(1, Math.round(count / album.seconds)));
  useEffect(() => {
    if (!playing) return undefined;
    const timer = setInterval(() => setFrame((at) => {
      if (at + 1 < count) return at + 1;
      if (!loop) setPlaying(false);
      return loop ? 0 : at;
    }), 1000 / speed);
    return () => clearInterval(timer);
  }, [playing, speed, loop]);
  const play = () => {
    if (!playing && frame === count - 1) setFrame(0);
    setPlaying(!playing);
  };
  const step = (by) => {
    setPlaying(false);
    setFrame((at) => Math.min(count - 1, Math.max(0, at + by)));
  };
  useHotkeys({
    " ": ["Play or pause", play], ".": ["Next frame", () => step(1)], ",": ["Previous frame", () => step(-1)],
  });
  const save = () => saveFile(toBlob(links[frame]), `frame-${frame}.png`);
  return html`
    <${Shell} bar=${html`<span class="brand">${album.title}</span>`}><h1 class="unseen">${album.title}</h1>
      <${Panel} title=${album.captions[frame] || `Frame ${frame + 1}`}>
        <div class="album">
          <img class=${`picture ${album.sharp ? "sharp" : ""}`} src=${links[frame]} alt=${`Frame ${frame + 1} of ${count}${album.captions[frame] ? `: ${album.captions[frame]}` : ""}`} />
          <div class="stack tight">
            <div class="row"><${Button} kind="main" hotkey="Space" onClick=${play}>${playing ? "Pause" : "Play"}<//>
              <${Check} label="Loop" checked=${loop} onChange=${setLoop} /><${Button} onClick=${save}>Save this frame<//></div>
            <${Slider} label="Time" min=${0} max=${count - 1} step=${1} value=${frame} format=${(at) => album.captions[at] || `${at + 1} of ${count}`}
              onInput=${(at) => { setPlaying(false); setFrame(at); }} />
            <${Slider} label="Speed" min=${1} max=${50} step=${1} value=${speed} format=${(each) => `${each} frames/s`} onInput=${setSpeed} />
          </div>
        </div>
      <//>
    <//>`;
}

/** Return the bytes of a data URI; the page's policy forbids fetch. */
function toBlob(link) {
  const bytes = Uint8Array.from(atob(link.slice(link.indexOf(",") + 1)), (each) => each.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

show(Page);
