# Two images under the names the compose file uses: `tenure` (the last stage, the default) and `etcd`.
#   docker build -t tenure:local .
#   docker build -t tenure-etcd:local --target etcd .
# Where no image registry can be reached, scripts/local-images makes both without this file.

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends protobuf-compiler libprotobuf-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /tenure
COPY . .
RUN RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked -p tenure --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && cp target/*/release/tenure /usr/local/bin/tenure

FROM debian:trixie-slim AS etcd
RUN apt-get update \
    && apt-get install -y --no-install-recommends etcd-server etcd-client \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 -m 0700 /etcd-data
USER 65532:65532
EXPOSE 2379 2380
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/etcd"]

# A userland rather than an empty image: tasks of kind `command` run programs, and these are the ones they find.
FROM debian:bookworm-slim AS tenure
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 tenure \
    && useradd --uid 65532 --gid 65532 --home-dir /var/lib/tenure --create-home --shell /usr/sbin/nologin tenure
COPY --from=build /usr/local/bin/tenure /usr/local/bin/tenure
LABEL org.opencontainers.image.title="tenure" \
      org.opencontainers.image.description="A clustered task scheduler coordinated by etcd" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
USER 65532:65532
WORKDIR /var/lib/tenure
EXPOSE 8700 9700
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/tenure"]
CMD ["server"]
