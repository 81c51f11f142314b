# A server of ONNX models without torch: docs/deploy.md. Build: docker build -t gansmith-serve .
FROM python:3.12-slim

RUN pip install --no-cache-dir hatchling
COPY pyproject.toml README.md LICENSE /source/
COPY src /source/src
# gansmith without its dependencies, of which torch is one; then those that serving needs
RUN pip install --no-cache-dir --no-deps --no-build-isolation /source && \
    pip install --no-cache-dir numpy 'pillow>=11,<14' 'pydantic>=2.10,<3' pyyaml typer rich safetensors imageio \
        imageio-ffmpeg filelock typing-extensions 'onnxruntime>=1.22' 'fastapi>=0.135' 'uvicorn>=0.35' && \
    useradd --create-home gansmith

USER gansmith
EXPOSE 8000
HEALTHCHECK CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz')"
# GANSMITH_TOKEN must be set: other machines can reach this server
ENTRYPOINT ["gansmith", "serve", "--host", "0.0.0.0"]
CMD ["/models/generator.onnx"]
