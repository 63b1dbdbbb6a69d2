#!/bin/sh
# The entrypoint of the image's target dev: any command of the program, from its sources. The server starts again at each SIGHUP,
# which Tilt sends after it has copied files; `node --watch` loses sight of a file that is replaced.
program=/app/service/src/bin/cli.ts
[ "$1" = serve ] || exec node "$program" "$@"
ending=
trap 'kill -KILL "$server"' HUP
trap 'ending=yes; kill -TERM "$server"' TERM INT
while [ -z "$ending" ]; do
  node "$program" "$@" &
  server=$!
  # A signal interrupts the wait.
  while kill -0 "$server" 2>/dev/null; do wait "$server"; done
  sleep 0.1
done
