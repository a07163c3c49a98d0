// Package cluster holds tests only. They join nodes of wsrouter and of Node.js,
// npm's socket.io with its Redis adapter and NestJS with the RedisIoAdapter of its
// documentation, into one cluster on a real Redis, and have them all play the same
// table: table_test.go. What Node's nodes alone make of it is the reference.
//
// ./test.sh in the repository's root installs what they need and runs them. By
// hand, since go test cannot know what a process depends on:
//
//	go test -count=1 .
//
// Every node is a process that obeys commands, lines of JSON: node/server.mjs, or
// this test's own binary, gonode_test.go. Clients are npm's, node/clients.mjs, on
// all nodes, and wsrouter's own on those of Go.
package cluster
