#!/usr/bin/env bash
# The one test command: CI runs it, and so does everyone else. See usage below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
	cat <<'EOF'
usage: ./test.sh [-h]

Checks and tests every Go module of this repository. It stops at the first part
that fails, exits with that part's status, and ends by saying what failed and why. What
each part printed is in .cache/logs.

It needs Go, and Node.js with npm. It installs what else is missing: Debian's packages gcc,
chromium, nginx, prometheus and redis-server (as root), the npm packages of every
package-lock.json, and staticcheck at the version that internal/tools/go.mod pins.

Parts, each printed with its duration:
  whole tree    gofmt; no lock file names a registry
  every go.mod  go mod tidy -diff, go vet, staticcheck, go test -race -shuffle=on,
                every fuzz target for 10,000 inputs, without -race. The root's tests hold the pages
                to their links, those of internal/interop hold them to their code
  other Go      root, socketio and wsroutertest on Go 1.25, the oldest that go.mod allows,
                and on Go 1.27, which changes net/http and encoding/json; but not once more
                that wsroutertest finds faults
  elsewhere     go vet for Windows and for 32 bits; go build for js/wasm
  tiny buffers  the tests of what WebSockets run on once more, with buffers of a few
                bytes
  event loops   the tests of what runs over TCP once more, with event loops under every
                WebSocket of a server
  benchmarks    every server that is compared answers correctly; nothing is measured
EOF
}

while getopts h flag; do
	case $flag in
	h) usage && exit ;;
	*) usage >&2 && exit 2 ;;
	esac
done

fuzz_inputs=10000x # a number: a duration's end fails by itself before Go 1.27 (golang/go#75804)
toolchains="go1.25.5 go1.27.3" # the oldest and the newest
patience=30m # with the tests of a package, on a machine that does much else
cache=$PWD/.cache # not committed
part="start"
log=/dev/null # of the part

# Each module is tested by its own go.mod, whatever go.work a developer has.
export GOWORK=off

# All that can be is built with -race, also by go vet, by staticcheck and by tests that
# build programs: what they share is compiled once. A package more than there are
# processors is tested at a time, for some mostly wait.
export GOFLAGS="${GOFLAGS:-} -race -p=$(($(nproc) + 1))"

# ours finds files of the tree, but for what is installed or built.
ours() {
	find . \( -name node_modules -o -name .cache -o -name .git \) -prune -o -type f "$@" -print | sort
}

# begin makes what follows a part of its own, with an empty log.
begin() {
	part=$1
	log=$cache/logs/${part//[^[:alnum:]]/-}.log
	: >"$log"
}

# run prints a part's title, runs its command, and prints how long that took.
run() {
	begin "$1"
	local start=$SECONDS
	echo "== $part"
	"${@:2}" 2>&1 | tee "$log"
	echo "   $((SECONDS - start)) s"
}

# why repeats what the part has printed, but for packages that passed, and at last
# the names of the tests that failed.
why() {
	echo
	grep -vE '^(ok|\?)[[:space:]]' "$log" | tail -n 100
	echo
	grep -E '^[[:space:]]*--- FAIL: |^FAIL[[:space:]]|^panic: |^WARNING: DATA RACE' "$log"
}

finish() {
	local status=$?
	if ((status != 0)); then
		why || true # it may have printed nothing
		echo "FAILED: $part (status $status; all it printed is in $log)"
	fi
	echo "total: $SECONDS s"
}
trap finish EXIT
rm -rf "$cache/logs"
mkdir -p "$cache/logs"

# need installs Debian packages unless their program is there.
need() {
	local program=$1
	shift
	if command -v "$program" >/dev/null; then
		return
	fi
	if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
		echo "$program is missing: install it, on Debian with: apt-get install $*" >&2
		return 1
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@" >/dev/null
}

install_needs() {
	local program
	for program in go node npm; do
		if ! command -v "$program" >/dev/null; then
			echo "$program is missing: install Go 1.25 or later, and Node.js 20 or later with npm" >&2
			return 1
		fi
	done
	need gcc gcc libc6-dev # for -race
	need /usr/bin/chromium chromium
	need redis-server redis-server
	need prometheus prometheus # and promtool
	need /usr/sbin/nginx nginx
	in_module internal/tools go build -race=false -buildvcs=false -o "$cache/staticcheck" honnef.co/go/tools/cmd/staticcheck
}

# npm_ci installs what a lock file names, and runs no scripts of theirs.
npm_ci() {
	(cd "$1" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
}

check_format() {
	local unformatted
	unformatted=$(ours -name '*.go' | xargs -d '\n' gofmt -l)
	if [[ -n $unformatted ]]; then
		printf 'run gofmt -w on:\n%s\n' "$unformatted" >&2
		return 1
	fi
}

# check_locks holds the lock files usable with every registry.
check_locks() {
	local named
	named=$(ours -name package-lock.json | xargs -r grep -lE '"resolved": "[a-z+]+:') || true
	if [[ -n $named ]]; then
		printf 'put omit-lockfile-registry-resolved=true into an .npmrc beside, and make anew:\n%s\n' "$named" >&2
		return 1
	fi
}

in_module() {
	(cd "$1" && "${@:2}")
}

# fuzz_targets prints the name of each fuzz target of a module, and its folder. They are
# read from the files: go test -list would link every test once more.
fuzz_targets() {
	local folders folder
	folders=$(in_module "$1" go list -f '{{.Dir}}' ./...)
	for folder in $folders; do
		{ grep -hs '^func Fuzz' "$folder"/*_test.go || true; } | sed "s|^func \(\w*\).*|\1 $folder|"
	done
}

# fuzz runs each fuzz target of a module, without -race, which would make inputs slow. To
# make every find small would take all the time.
fuzz() {
	local targets target folder
	begin "$1: fuzz targets"
	targets=$(fuzz_targets "$1" 2>"$log")
	while read -r target folder; do
		if [[ -n $target ]]; then
			run "$1: fuzz $target" in_module "$1" go test -race=false -run '^$' -fuzz "^$target\$" \
				-fuzztime "$fuzz_inputs" -fuzzminimizetime 10x "$folder" </dev/null
		fi
	done <<<"$targets"
}

run "install" install_needs
for lock in $(ours -name package-lock.json); do
	run "${lock#./}: npm ci" npm_ci "$(dirname "$lock")"
done
run "gofmt" check_format
run "lock files" check_locks
for mod in $(ours -name go.mod); do
	dir=$(dirname "$mod")
	run "$dir: go mod tidy" in_module "$dir" go mod tidy -diff
	run "$dir: go vet" in_module "$dir" go vet ./...
	run "$dir: staticcheck" in_module "$dir" "$cache/staticcheck" ./...
	run "$dir: go test" in_module "$dir" go test -race -shuffle=on -timeout "$patience" ./...
	fuzz "$dir"
done
for toolchain in $toolchains; do
	run "$toolchain: go test" env GOTOOLCHAIN="$toolchain" \
		go test -race -shuffle=on -timeout "$patience" -skip FaultsAreFound \
		. ./internal/suite ./socketio ./wsroutertest ./internal/bind ./payload
done
for target in windows/amd64 linux/386; do
	run "$target: go vet" env GOOS="${target%/*}" GOARCH="${target#*/}" go vet -race=false ./...
done
run "js/wasm: go build" env GOOS=js GOARCH=wasm go build -race=false ./...
run "tiny buffers" go test -race -shuffle=on -timeout "$patience" -tags tinybuffers . ./internal/suite ./socketio ./internal/socket
run "event loops" go test -race -shuffle=on -timeout "$patience" -tags eventloops ./internal/suite ./socketio ./internal/socket ./internal/soak
run "internal/bench: answers" in_module internal/bench go run . -quick
