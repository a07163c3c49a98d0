// Package socketio holds tests only. They hold the Socket.IO adapter to the real
// world: unmodified clients from npm in Node.js and in headless Chromium, Node's
// own Socket.IO server beside ours, and NestJS beside the samples of
// docs/from-nestjs.md.
//
// ./test.sh in the repository's root installs what they need and runs them. By
// hand, since go test cannot know what a process depends on:
//
//	go test -count=1 .
//
// What clients do is in the folder node: rows.mjs files are lists of rows that
// peer.mjs plays, frames.mjs sends raw frames.
package socketio
