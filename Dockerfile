# The image of Task Master Pro: one program that is the server (`serve`, the default), `migrate`, `backup` and the rest of
# the command line. It writes nowhere but in /tmp, and runs as user 10001 on a read-only root file system.
#
#   docker build -t task-master-pro .                    the image
#   docker build -t task-master-pro:dev --target dev .   TypeScript as it is written; see service/dev.sh
#
# Everything from npm is what package-lock.json names; the base can be pinned: --build-arg NODE_IMAGE=node@sha256:…
ARG NODE_IMAGE=node:24-trixie-slim

FROM ${NODE_IMAGE} AS base
WORKDIR /app
ENV npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false npm_config_loglevel=error

# What the program runs on: no development packages, and not the embedded PostgreSQL, which is optional.
FROM base AS packages
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --omit=optional --ignore-scripts
# Two thirds of it are never read by a running server: source maps, types, prose; the command line of Sentry's bundler plugins.
RUN find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \
      -o -iname 'readme*' -o -iname 'changelog*' \) -delete \
  && rm -rf node_modules/sentry node_modules/.bin

# The compiler's packages. Without their scripts, so that Node is the base's and not the one of the package `node`.
FROM base AS sources
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts
COPY tsconfig.json rolldown.config.ts prisma.config.ts ./
COPY prisma prisma
COPY service/src service/src

FROM sources AS built
RUN npm run build && chmod +x dist/bin/cli.js

# pg_dump and pg_restore alone: the rest of the client's package would bring Perl along.
FROM base AS postgres-tools
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
  apt-get update -qq && cd /tmp && apt-get download -qq postgresql-client-17 && dpkg -x postgresql-client-17_*.deb /client

FROM base AS runtime
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
  apt-get update -qq && apt-get install -qq --no-install-recommends libpq5 liblz4-1 libzstd1 zlib1g >/dev/null \
  && rm -rf /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old \
  && groupadd --gid 10001 taskmaster \
  && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin taskmaster
COPY --from=postgres-tools /client/usr/lib/postgresql/17/bin/pg_dump /client/usr/lib/postgresql/17/bin/pg_restore \
  /usr/lib/postgresql/17/bin/
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 HOME=/tmp
EXPOSE 3000
# Node itself is the first process and gets the signals.
ENTRYPOINT ["node", "/app/dist/bin/cli.js"]
CMD ["serve"]

# For development: see Tiltfile. The paths are those of the image proper, so that the chart need not know the difference.
FROM runtime AS dev
ENV NODE_ENV=development
COPY --from=packages /app/node_modules node_modules
COPY --from=sources --chown=10001:10001 /app/package.json ./
COPY --from=sources --chown=10001:10001 /app/prisma prisma
COPY --from=sources --chown=10001:10001 /app/service service
RUN chmod +x service/src/bin/cli.ts && mkdir -p dist/bin && ln -s /app/service/src/bin/cli.ts dist/bin/cli.js \
  && ln -s /app/service/src/bin/cli.ts /usr/local/bin/task-master-pro
# What a start compiles, compiled already: half of the time from a change to the answer. Sources that changed are compiled anew.
ENV NODE_COMPILE_CACHE=/app/.cache
RUN node service/src/bin/cli.ts --version >/dev/null \
  && node -e 'for (const one of process.argv.slice(1)) await import(`/app/service/src/${one}.ts`)' \
    bin/serve storage/postgres/open metrics/create metrics/listen rest/plugins/docs \
  && chown -R 10001:10001 .cache
USER 10001:10001
COPY service/dev.sh /usr/local/bin/dev
ENTRYPOINT ["dev"]

FROM runtime AS program
COPY --from=packages /app/node_modules node_modules
COPY --from=built /app/dist dist
COPY prisma/schema.prisma prisma/schema.prisma
COPY prisma/migrations prisma/migrations
COPY package.json LICENSE ./

# What a start compiles, compiled already, for the same user: a new pod has nothing that one before it compiled. A server whose
# database is away has loaded all that it needs once it says that it waits.
FROM program AS compiled
RUN mkdir .cache && chown 10001:10001 .cache
USER 10001:10001
ENV NODE_COMPILE_CACHE=/app/.cache DATABASE_URL=postgres://nobody@127.0.0.1:9/none PORT=0 TASKMASTER_METRICS_PORT=0 \
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9 TASKMASTER_SHUTDOWN_DRAIN_SECONDS=0 \
  TASKMASTER_SESSION_SECRET=only-while-the-image-is-built-and-nowhere-else
RUN node dist/bin/cli.js serve >/tmp/log 2>&1 & server=$!; \
  for _ in $(seq 200); do grep -q 'waiting until' /tmp/log && break || sleep 0.1; done; \
  grep -q 'waiting until' /tmp/log && kill "$server" && wait "$server" || { cat /tmp/log; exit 1; }

FROM program AS release
COPY --from=compiled /app/.cache .cache
ENV NODE_COMPILE_CACHE=/app/.cache
RUN ln -s /app/dist/bin/cli.js /usr/local/bin/task-master-pro
USER 10001:10001
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then((a) => process.exit(a.ok ? 0 : 1), () => process.exit(1))"]
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=https://github.com/task-master-pro/task-master-pro
LABEL org.opencontainers.image.title="Task Master Pro" \
  org.opencontainers.image.description="The task server for teams whose members are people and coding agents" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}" \
  org.opencontainers.image.source="${SOURCE}"
