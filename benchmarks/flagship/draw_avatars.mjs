// Draw avatars: node draw_avatars.mjs STYLE COUNT FOLDER [SIDE]; needs npm install @dicebear/core@9 @dicebear/collection@9 @resvg/resvg-js
import { createAvatar } from '@dicebear/core';
import * as styles from '@dicebear/collection';
import { Resvg } from '@resvg/resvg-js';
import fs from 'fs';
const [style, count, out, side] = [process.argv[2], +process.argv[3], process.argv[4], +(process.argv[5] ?? 64)];
fs.mkdirSync(out, { recursive: true });
for (let i = 0; i < count; i++) {
  const svg = createAvatar(styles[style], { seed: `${style}-${i}`, size: side, backgroundColor: ['b6e3f4', 'c0aede', 'd1d4f9', 'ffd5dc', 'ffdfbf'] }).toString();
  fs.writeFileSync(`${out}/${String(i).padStart(5, '0')}.png`, new Resvg(svg, { fitTo: { mode: 'width', value: side } }).render().asPng());
}
