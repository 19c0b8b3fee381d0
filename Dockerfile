# plasticity in a container: docker build -t plasticity . && docker run --rm -v "$PWD:/work" plasticity inspect model.gguf
FROM debian:bookworm AS build
WORKDIR /source
COPY . .
RUN scripts/package

FROM debian:bookworm-slim
COPY --from=build /source/build/packages/plasticity_*.deb /tmp/
RUN apt-get update \
    && apt-get install -y --no-install-recommends /tmp/plasticity_*.deb \
    && rm -rf /tmp/*.deb /var/lib/apt/lists/*
WORKDIR /work
ENTRYPOINT ["plasticity"]
CMD ["--help"]
