# Built by any Docker engine since 20.10, with BuildKit or without: no syntax
# line, no cache mounts. The modules have a layer of their own, which stays until
# go.mod changes.
ARG BUILD_IMAGE=golang:1.26-bookworm
ARG RUNTIME_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/gatehouse .
# An empty folder for DATA_DIR, and the certificates by which backends over https
# are known. A build image without any leaves the bundle empty: then name one
# with GATEHOUSE_BACKEND_CA_FILE, or mount it over the file.
RUN mkdir -p /out/data /out/certs \
 && if [ -r /etc/ssl/certs/ca-certificates.crt ]; then \
      cat /etc/ssl/certs/ca-certificates.crt > /out/certs/ca-certificates.crt; \
    else : > /out/certs/ca-certificates.crt; fi

FROM ${RUNTIME_IMAGE}
ARG VERSION=dev
LABEL org.opencontainers.image.title="Gatehouse" \
      org.opencontainers.image.description="An authenticating reverse proxy in front of legacy token APIs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/gatehouse-gateway/gatehouse" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /out/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/gatehouse /gatehouse
# A volume mounted here takes over the owner, so that the process may write.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/gatehouse", "healthcheck"]
ENTRYPOINT ["/gatehouse"]
