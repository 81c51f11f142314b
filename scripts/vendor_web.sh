#!/bin/sh
# Rebuild src/gansmith/web/static/vendor from the npm registry, with pinned versions. Needs node, npm and gzip.
# The sums are in vendor/SHA256SUMS; `git diff --stat` shows whether a rebuild changed anything.
set -eu

HTM=3.1.1         # bundles Preact 10 and its hooks
PREACT=10.9.0     # its licence alone: htm ships the code
UPLOT=1.6.32
ORT=1.30.0
ESBUILD=0.28.2

here=$(cd "$(dirname "$0")/.." && pwd)
vendor="$here/src/gansmith/web/static/vendor"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --save-exact \
  "htm@$HTM" "preact@$PREACT" "uplot@$UPLOT" "onnxruntime-web@$ORT" "esbuild@$ESBUILD" >/dev/null
from="$work/node_modules"

rm -rf "$vendor"
mkdir -p "$vendor"
cp "$from/htm/preact/standalone.module.js" "$vendor/preact.js"
"$from/.bin/esbuild" "$from/uplot/dist/uPlot.esm.js" --minify --format=esm --legal-comments=none \
  --log-level=error --outfile="$vendor/uplot.js"
cp "$from/uplot/dist/uPlot.min.css" "$vendor/uplot.css"
# A classic worker from a Blob runs in Chromium and in Firefox from file://, a module worker in neither: hence the IIFE.
"$from/.bin/esbuild" "$from/onnxruntime-web/dist/ort.wasm.bundle.min.mjs" --bundle --minify --format=iife \
  --global-name=ort --define:import.meta.url=self.location.href --platform=browser --legal-comments=none \
  --log-level=error --outfile="$vendor/ort.js"
gzip -9nc "$from/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm" >"$vendor/ort.wasm.gz"
for file in preact.js uplot.js ort.js; do # source maps are not shipped
  sed -i '/^\/\/# sourceMappingURL=/d' "$vendor/$file"
done

cp "$from/htm/LICENSE" "$vendor/LICENSE-htm.txt"
cp "$from/preact/LICENSE" "$vendor/LICENSE-preact.txt"
cp "$from/uplot/LICENSE" "$vendor/LICENSE-uplot.txt"
cat >"$vendor/LICENSE-onnxruntime.txt" <<'LICENSE'
MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
LICENSE
cat >"$vendor/README.md" <<README
Code of others, made by \`scripts/vendor_web.sh\` from the npm registry:

| file | package | version | licence |
|---|---|---|---|
| preact.js | htm (htm/preact/standalone, with Preact and its hooks) | $HTM | Apache-2.0 (htm), MIT (Preact) |
| uplot.js, uplot.css | uplot | $UPLOT | MIT |
| ort.js, ort.wasm.gz | onnxruntime-web (the bundle for WebAssembly on the CPU) | $ORT | MIT |
README
cd "$vendor"
sha256sum preact.js uplot.js uplot.css ort.js ort.wasm.gz >SHA256SUMS
ls -l
