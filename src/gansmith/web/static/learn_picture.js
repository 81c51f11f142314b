// Draws the pictures of Learn on canvases: the plane with all its layers, and walls of garments.

function rgb(text) {
  const number = parseInt(text.slice(1), 16);
  return [(number >> 16) & 255, (number >> 8) & 255, number & 255];
}

function bytes(text) {
  return Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
}

const MOST_GAIN = 6;
const heat = document.createElement("canvas");

/** Draw one frame of points; ``shown`` says which layers. */
export function drawPlane(canvas, started, frame, shown, colour) {
  const side = Math.round(canvas.clientWidth * Math.min(2, devicePixelRatio)) || 640;
  if (canvas.width !== side) { canvas.width = side; canvas.height = side; }
  const context = canvas.getContext("2d");
  const { reach } = started;
  const px = (value) => ((value / 1000 / reach + 1) / 2) * side;
  const py = (value) => ((1 - value / 1000 / reach) / 2) * side;
  const unit = side / 640;
  context.fillStyle = colour("card");
  context.fillRect(0, 0, side, side);
  if (shown.heat) {
    heat.width = started.heat_side;
    heat.height = started.heat_side;
    const inside = heat.getContext("2d");
    const image = inside.createImageData(heat.width, heat.height);
    const [low, middle, high] = [rgb(colour("heat-low")), rgb(colour("heat-middle")), rgb(colour("heat-high"))];
    const values = bytes(frame.heat);
    // Weak opinions are drawn up to MOST_GAIN times as strong: a slow D has hardly any others.
    const gain = Math.min(MOST_GAIN, 127.5 / Math.max(1, ...values.map((value) => Math.abs(value - 127.5))));
    values.forEach((value, index) => {
      const share = Math.max(-1, Math.min(1, gain * (value / 127.5 - 1)));
      const to = share < 0 ? low : high;
      for (let channel = 0; channel < 3; channel += 1) image.data[4 * index + channel] = middle[channel] + Math.abs(share) * (to[channel] - middle[channel]);
      image.data[4 * index + 3] = 255;
    });
    inside.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(heat, 0, 0, side, side);
  }
  if (shown.net && started.net_dimensions) drawNet(context, started, frame.net, px, py, colour, unit);
  const dots = (points, name, radius) => {
    context.fillStyle = colour(name);
    context.beginPath();
    for (let index = 0; index < points.length; index += 2) {
      const [x, y] = [px(points[index]), py(points[index + 1])];
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 2 * Math.PI);
    }
    context.fill();
  };
  if (shown.real) dots(started.real, "dot-real", 2 * unit);
  if (shown.arrows) {
    // Lengths on a scale of roots, so that weak gradients are seen beside strong ones.
    context.strokeStyle = colour("arrow");
    context.lineWidth = 1.6 * unit;
    context.beginPath();
    for (let index = 0; index < frame.arrows.length; index += 2) {
      const [dx, dy] = [frame.arrows[index] / 1000, frame.arrows[index + 1] / 1000];
      const size = Math.hypot(dx, dy);
      if (size < 1e-3) continue;
      const length = Math.min(70, 30 * Math.sqrt(size)) * unit;
      const [x, y] = [px(frame.fake[index]), py(frame.fake[index + 1])];
      const [ex, ey] = [x + (dx / size) * length, y - (dy / size) * length];
      const angle = Math.atan2(ey - y, ex - x);
      const head = Math.min(7 * unit, length / 2);
      context.moveTo(x, y);
      context.lineTo(ex, ey);
      context.lineTo(ex - head * Math.cos(angle - 0.5), ey - head * Math.sin(angle - 0.5));
      context.moveTo(ex, ey);
      context.lineTo(ex - head * Math.cos(angle + 0.5), ey - head * Math.sin(angle + 0.5));
    }
    context.stroke();
  }
  if (shown.fake) dots(frame.fake, "dot-fake", 2.8 * unit);
}

/** The net: a grid over the noise, as G stretches it over the plane. */
function drawNet(context, { net_dimensions: dimensions, net_side: side }, net, px, py, colour, unit) {
  const at = (index) => [px(net[2 * index]), py(net[2 * index + 1])];
  if (dimensions === 2) {
    // Each cell of the net holds equally much noise: where it is small, points lie close together.
    context.fillStyle = colour("net");
    for (let row = 0; row < side - 1; row += 1) {
      for (let column = 0; column < side - 1; column += 1) {
        const corners = [at(row * side + column), at(row * side + column + 1), at((row + 1) * side + column + 1), at((row + 1) * side + column)];
        const area = Math.abs(corners.reduce((sum, [x, y], index) => { const [nx, ny] = corners[(index + 1) % 4]; return sum + x * ny - nx * y; }, 0)) / 2;
        context.globalAlpha = Math.min(0.6, (60 * unit * unit) / (area + 1));
        context.beginPath();
        corners.forEach(([x, y], index) => context[index ? "lineTo" : "moveTo"](x, y));
        context.fill();
      }
    }
    context.globalAlpha = 1;
  }
  context.strokeStyle = colour("net");
  context.lineWidth = unit;
  context.beginPath();
  if (dimensions === 1) {
    for (let index = 0; index < net.length / 2; index += 1) context[index ? "lineTo" : "moveTo"](...at(index));
  } else {
    for (let row = 0; row < side; row += 1) {
      for (let column = 0; column < side; column += 1) context[column ? "lineTo" : "moveTo"](...at(row * side + column));
      for (let column = 0; column < side; column += 1) context[column ? "lineTo" : "moveTo"](...at(column * side + row));
    }
  }
  context.stroke();
}

/** Draw pictures of garments as a square wall; each is framed in the colour of D's opinion of it. */
export function garments(canvas, text, side, opinions, colour) {
  if (!canvas || !text) return;
  const pixels = bytes(text);
  const count = pixels.length / side / side;
  const columns = Math.ceil(Math.sqrt(count));
  const cell = side + 4;
  canvas.width = columns * cell;
  canvas.height = Math.ceil(count / columns) * cell;
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  const [low, middle, high] = [rgb(colour("heat-low")), rgb(colour("heat-middle")), rgb(colour("heat-high"))];
  for (let number = 0; number < count; number += 1) {
    const [x, y] = [(number % columns) * cell, Math.floor(number / columns) * cell];
    if (opinions) {
      const share = opinions[number] * 2 - 1;
      const to = share < 0 ? low : high;
      context.fillStyle = `rgb(${middle.map((value, channel) => Math.round(value + Math.abs(share) * (to[channel] - value))).join(",")})`;
      context.fillRect(x, y, cell, cell);
    }
    for (let place = 0; place < side * side; place += 1) {
      image.data.fill(pixels[number * side * side + place], 4 * place, 4 * place + 3);
      image.data[4 * place + 3] = 255;
    }
    context.putImageData(image, x + 2, y + 2);
  }
}
