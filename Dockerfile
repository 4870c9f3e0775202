# The app on CPUs: docker build -t toonify . && docker run -p 7860:7860 toonify
FROM python:3.12-slim

# Nobody needs root to draw. Uploads and compiled networks go to the user's own home. Two arenas of
# memory are enough: with one for each of many threads, glibc keeps more that is free.
RUN useradd --create-home --uid 1000 toonify
USER toonify
WORKDIR /home/toonify/app
ENV PATH=/home/toonify/.local/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    MALLOC_ARENA_MAX=2

# The CPU build of torch is a tenth of the size of the default one.
RUN pip install --no-cache-dir --user torch torchvision --extra-index-url https://download.pytorch.org/whl/cpu
COPY --chown=toonify pyproject.toml README.md LICENSE NOTICE requirements.txt app.py ./
COPY --chown=toonify hub_cards ./hub_cards
COPY --chown=toonify web ./web
COPY --chown=toonify toonify ./toonify
COPY --chown=toonify training ./training
RUN pip install --no-cache-dir --user ".[app]"

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=4)"]
CMD ["python", "app.py"]
