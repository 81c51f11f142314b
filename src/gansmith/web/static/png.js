// Text inside PNG files: write an entry, read an entry.

const START = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const AFTER_HEADER = 33; // bytes of the signature and of IHDR
let table = null;

function crc(bytes) {
  table ??= Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    return value;
  });
  let value = 0xffffffff;
  for (const byte of bytes) value = table[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** Return a PNG (Uint8Array) with an entry of text (iTXt, UTF-8) after its header. */
export function withText(png, key, text) {
  const body = new TextEncoder().encode(`iTXt${key}\0\0\0\0\0${text}`);
  const chunk = new Uint8Array(body.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, body.length - 4);
  chunk.set(body, 4);
  view.setUint32(body.length + 4, crc(body));
  const out = new Uint8Array(png.length + chunk.length);
  out.set(png.subarray(0, AFTER_HEADER));
  out.set(chunk, AFTER_HEADER);
  out.set(png.subarray(AFTER_HEADER), AFTER_HEADER + chunk.length);
  return out;
}

/** Return the text that a PNG (Uint8Array) holds under ``key`` (tEXt or iTXt without compression), or null. */
export function textOf(png, key) {
  if (!START.every((byte, at) => png[at] === byte)) return null;
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  for (let at = 8; at + 12 <= png.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...png.subarray(at + 4, at + 8));
    const body = png.subarray(at + 8, at + 8 + length);
    const end = body.indexOf(0);
    if ((kind === "tEXt" || kind === "iTXt") && new TextDecoder().decode(body.subarray(0, end)) === key) {
      if (kind === "tEXt") return new TextDecoder("latin1").decode(body.subarray(end + 1));
      if (body[end + 1] === 0) return new TextDecoder().decode(body.subarray(body.indexOf(0, body.indexOf(0, end + 3) + 1) + 1));
    }
    at += length + 12;
  }
  return null;
}
