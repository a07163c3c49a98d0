// Package socketio has only tests. They compare the Socket.IO adapter with the real
// world: unmodified clients from npm in Node.js and in headless Chromium, Node's
// own Socket.IO server beside ours, and NestJS beside the samples of
// docs/from-nestjs.md.
//
// ./test.sh in the repository's root installs what they need and runs them. To run
// them alone, disable the cache, because go test cannot know what a process depends
// on:
//
//	go test -count=1 .
//
// What clients do is in the folder node. table.mjs, own.mjs and crowd.mjs are rows
// that peer.mjs plays. recover.mjs has rows for recoverer.mjs and our server, over
// line.mjs, which can be cut. odd.mjs and nestcases.mjs are raw frames that
// frames.mjs sends to Node's server, reference.mjs or nest.mjs, and to ours.
package socketio
