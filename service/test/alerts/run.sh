#!/usr/bin/env bash
# The chart's rules, by Prometheus' own promtool: whether they are rules, and for every alert that it fires and that it does not.
# Needs helm in PATH; promtool too, or a Debian's apt, whose package is then unpacked aside.
set -euo pipefail
cd "$(dirname "$0")/../../.."
export PATH="$PWD/node_modules/.bin:$PATH"
command -v helm >/dev/null || { echo "helm is not in PATH" >&2; exit 1; }
if ! command -v promtool >/dev/null; then
  aside=$PWD/node_modules/.cache/prometheus
  if [ ! -x "$aside/usr/bin/promtool" ]; then
    command -v apt-get >/dev/null || { echo "promtool is not in PATH; it comes with Prometheus" >&2; exit 1; }
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && apt-get download --quiet prometheus >/dev/null && dpkg -x prometheus_*.deb unpacked)
    mkdir -p "$aside/usr/bin"
    mv "$work/unpacked/usr/bin/promtool" "$aside/usr/bin/"
  fi
  export PATH="$aside/usr/bin:$PATH"
fi
vitest run --project alerts
