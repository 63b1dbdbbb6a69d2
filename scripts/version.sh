#!/usr/bin/env bash
# Takes the changesets into CHANGELOG.md and makes their version the one of everything that names it: package.json, its lockfile, the
# chart, the chart's README, and the images that fly.toml and railway.json run. The release workflow runs it for its pull request; it
# can be run by hand, and undone by git.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
chart=charts/task-master-pro
read_version() { sed -n 's/^  "version": "\(.*\)",/\1/p' package.json; }
old=$(read_version)
changeset version
new=$(read_version)
[ "$new" != "$old" ] || { echo "version.sh: no changeset asks for a new version; it stays $old." >&2; exit 1; }
npm install --package-lock-only --ignore-scripts --no-audit --no-fund >/dev/null
# The chart goes with the program: one version, so that nobody has to look up which chart brings which program.
sed -i "s/^version: .*/version: $new/; s/^appVersion: .*/appVersion: $new/; s|\(task-master-pro/task-master-pro:\)$old\$|\1$new|" $chart/Chart.yaml
sed -i "s/$old/$new/g" $chart/README.md
sed -i "s|\(task-master-pro/task-master-pro:\)$old|\1$new|" fly.toml railway.Dockerfile
echo "version.sh: $old is $new now"
