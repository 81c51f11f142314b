// A classic worker that runs a generator in onnxruntime-web: the file's page makes it of ort.js and this, as a Blob.
/* global ort */

let session = null;
let last = Promise.resolve(); // a session runs one batch at a time

async function work({ id, wasm, model, feeds }) {
  try {
    if (wasm) {
      ort.env.wasm.numThreads = 1;
      ort.env.wasm.wasmBinary = wasm;
      session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
      self.postMessage({ id });
      return;
    }
    const inputs = Object.fromEntries(Object.entries(feeds).map(([name, { kind, values, shape }]) => [name, new ort.Tensor(kind, values, shape)]));
    const made = (await session.run(inputs))[session.outputNames[0]];
    const pixels = Uint8ClampedArray.from(made.data);
    self.postMessage({ id, pixels, shape: made.dims }, [pixels.buffer]);
  } catch (problem) {
    self.postMessage({ id, problem: String(problem?.message ?? problem) });
  }
}

self.onmessage = (event) => { last = last.then(() => work(event.data)); };
