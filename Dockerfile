# The gateway with the model that comes with MyXTTS: processors only, no torch. docs/containers.md
# says how to run it, and what of this file has not been run.
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir build==1.6.1 \
    && python -m build --wheel --outdir /wheels .

FROM python:3.11-slim
# Versions that a green run was seen with. The wheels bring libsndfile and FFmpeg along.
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt \
        "$(echo /tmp/wheels/myxtts-*.whl)[server,serving]" \
    && rm -r /tmp/wheels /tmp/constraints.txt \
    && useradd --create-home --uid 10001 speech \
    && install --directory --owner speech --group speech /data
USER 10001
WORKDIR /home/speech
# What was fetched, and voices that were uploaded.
ENV MYXTTS_CACHE=/data/cache HF_HOME=/data/hub TF_CPP_MIN_LOG_LEVEL=2
VOLUME /data
EXPOSE 8020
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8020/health', timeout=4)"]
# All addresses of the container: it wants --api-key-file FILE or --no-auth.
ENTRYPOINT ["myxtts", "serve", "--host", "0.0.0.0", "--port", "8020", "--voices", "/data/voices"]
