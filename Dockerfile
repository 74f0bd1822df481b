# The server and its command line, without development packages: about 60 MB on top of Node.
#   docker build -t twinrail .
#   docker run -p 127.0.0.1:8787:8787 -v twinrail:/data twinrail serve --insecure

FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
COPY client/package.json client/
# Of the packages for development these are all that a build needs, a fifth of them.
RUN node -e "const own = require('./package.json'), { typescript, '@types/node': types } = own.devDependencies; \
    own.devDependencies = { typescript, '@types/node': types }; \
    own.workspaces = ['client']; \
    require('fs').writeFileSync('package.json', JSON.stringify(own))" \
  && npm install --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build start

FROM node:24-slim AS packages
WORKDIR /packages
COPY package.json package-lock.json ./
COPY client/package.json client/
COPY bench/package.json bench/
COPY examples/package.json examples/
# The package leaves it to its users to install a client for Redis; this image has one, in the version of the lock file.
RUN npm pkg set "dependencies.ioredis=$(npm pkg get devDependencies.ioredis | tr -d '"')" \
  && npm pkg delete devDependencies.ioredis \
  && npm install --omit=dev --workspaces=false --include-workspace-root --ignore-scripts --no-audit --no-fund

FROM node:24-slim
ENV NODE_ENV=production TWINRAIL_HOST=0.0.0.0 TWINRAIL_LOG=lmdb:/data
WORKDIR /app
COPY --from=packages /packages/node_modules node_modules
COPY --from=build /build/package.json /build/README.md /build/README.zh-CN.md /build/PROTOCOL.md /build/LICENSE ./
COPY --from=build /build/docs docs
COPY --from=build /build/client/page client/page
COPY --from=build /build/dist dist
# 1000 is the user `node` of the image; a number can be checked by Kubernetes (runAsNonRoot).
RUN mkdir /data && chown 1000:1000 /data
USER 1000
VOLUME /data
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8787/healthz').then(answer => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Runs get --grace-ms (10 s) to end; docker waits 10 s by default before it kills: `docker stop --time 20`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "dist/src/cli/main.js"]
CMD ["serve"]
