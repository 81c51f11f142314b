// The slider through the preview pictures. Without this script the page shows the last one.
const frames = JSON.parse(document.getElementById("frames").textContent);
const picture = document.getElementById("frame");
const controls = document.getElementById("controls");
const [button, slider, label] = controls.children;
let timer = null;

function show(index) {
  const [source, caption] = frames[index];
  picture.src = source;
  picture.alt = `Fixed latents at ${caption}`;
  label.textContent = caption;
  slider.value = index;
  slider.setAttribute("aria-valuetext", caption);
}

function pause() {
  clearInterval(timer);
  timer = null;
  button.textContent = "Play";
}

function play() {
  let index = slider.valueAsNumber < frames.length - 1 ? slider.valueAsNumber : 0;
  show(index);
  button.textContent = "Pause";
  timer = setInterval(() => {
    index += 1;
    show(index);
    if (index === frames.length - 1) pause();
  }, Math.max(80, Math.min(500, 6000 / frames.length)));
}

slider.addEventListener("input", () => {
  pause();
  show(slider.valueAsNumber);
});
button.addEventListener("click", () => (timer === null ? play() : pause()));
controls.hidden = false;
show(frames.length - 1);
