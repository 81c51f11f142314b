// A picture of a state on a canvas. While a newer state is asked for, the older picture stays.

import { html, useEffect, useLayoutEffect, useRef } from "./vendor/preact.js";
import { keyOf } from "./state.js";

const PASSING = [0, 429, 503, 504]; // answers of a server that is gone, busy or late: it is asked again
const AGAIN_MS = 3000;
const SHARP_BELOW = 200; // px: smaller pictures are enlarged without blur

/** Draw a picture (ImageData, ImageBitmap or canvas) on a canvas, which takes its size. */
export function paint(canvas, picture) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
  }
  const context = canvas.getContext("2d");
  if (picture instanceof ImageData) context.putImageData(picture, 0, 0);
  else {
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0);
  }
  canvas.dataset.drawn = "";
  canvas.classList.toggle("sharp", Math.max(picture.width, picture.height) < SHARP_BELOW);
}

/** A state's picture. ``label`` says to screen readers what it is; without it the picture is decoration. */
export function Picture({ engine, state, label, onProblem, onDrawn }) {
  const canvas = useRef(null);
  const asked = useRef({ wanted: null, busy: false, stop: null });
  useLayoutEffect(() => { // asks at once: useEffect would wait for the next frame
    const now = asked.current;
    now.wanted = state;
    now.engine = engine;
    if (now.busy) return; // the answer on its way is drawn, and then the newest state
    const next = async () => {
      now.busy = true;
      while (now.wanted) {
        const drawn = now.wanted;
        now.wanted = null;
        now.stop = new AbortController();
        try {
          const [picture] = await now.engine.generate([drawn], now.stop.signal);
          if (!canvas.current) break;
          paint(canvas.current, picture);
          onProblem?.(null);
          onDrawn?.(drawn);
        } catch (problem) {
          if (problem.name === "AbortError") continue;
          const passes = PASSING.includes(problem.status);
          onProblem?.(passes ? { message: `${problem.message}\nTrying again …` } : problem);
          if (passes) await new Promise((done) => setTimeout(done, AGAIN_MS));
          if (passes && canvas.current) now.wanted ??= drawn;
        }
      }
      now.busy = false;
    };
    next();
  }, [keyOf(state), engine]);
  useEffect(() => () => {
    asked.current.wanted = null;
    asked.current.stop?.abort();
  }, []);
  const [height, width] = engine.model.size;
  return html`<canvas ref=${canvas} class="picture sharp" width=${width} height=${height} role=${label ? "img" : undefined}
    aria-label=${label} aria-hidden=${label ? undefined : "true"}></canvas>`;
}

/** Frames on one canvas: ``frame`` of ``frames``. */
export function Frame({ frames, frame, label, size }) {
  const canvas = useRef(null);
  useEffect(() => { if (frames?.[frame]) paint(canvas.current, frames[frame]); }, [frames, frame]);
  return html`<canvas ref=${canvas} class="picture sharp" width=${size[1]} height=${size[0]} role="img" aria-label=${label}></canvas>`;
}
