# An image of the daemon. Unmeasured: no image was built of this file yet.

FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/etlplus
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY etlplus etlplus
RUN /opt/etlplus/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/etlplus --create-home etlplus
COPY --from=build /opt/etlplus /opt/etlplus
COPY config/production.toml /etc/etlplus/production.toml
ENV PATH=/opt/etlplus/bin:$PATH PYTHONUNBUFFERED=1 ETLPLUS_CONFIG=/etc/etlplus/production.toml
USER etlplus
WORKDIR /var/lib/etlplus
VOLUME /var/lib/etlplus
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/api/health', timeout=2)"]
# SIGTERM drains; give the container a grace period longer than shutdown.drain_s.
STOPSIGNAL SIGTERM
CMD ["etlplus", "serve"]
