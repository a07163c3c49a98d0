// Package interop has only tests. They build examples/gateway, run it as a process
// of its own, and play every row of its table of events on it from real clients:
// the npm client ws, wsrouter.Dial, and a page in headless Chromium with the
// browser's own WebSocket.
//
// ./test.sh in the repository's root installs what they need and runs them. To run
// them alone, disable the cache, because go test cannot know what a process depends
// on:
//
//	go test -count=1 .
//
// The rows for ws and the page are transcripts of raw frames, node/table.mjs; those
// for Dial are Go code, dial_test.go.
package interop
