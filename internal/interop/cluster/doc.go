// Package cluster has only tests. They join nodes of wsrouter and of Node.js (npm's
// socket.io with its Redis adapter, and NestJS with the RedisIoAdapter of its
// documentation) into one cluster on a real Redis, and let all of them play the
// same table, table_test.go. What Node's nodes alone make of it is the reference.
//
// ./test.sh in the repository's root installs what they need and runs them. To run
// them alone, disable the cache, because go test cannot know what a process depends
// on:
//
//	go test -count=1 .
//
// Every node is a process that obeys commands, lines of JSON: node/server.mjs, or
// this test's own binary, gonode_test.go. All nodes have npm's clients,
// node/clients.mjs, and the nodes of Go also have wsrouter's own.
package cluster
