// Package clientjs has only tests, of the JavaScript client, in Node.js with the
// npm package ws and in a page in headless Chromium. They play the table of
// examples/gateway, and everything else that the client promises: on the gateway as
// a process that can be killed, on routers of their own, and over a line that can
// fall silent or be cut.
//
// The rows are in the .mjs files, the same for both runtimes. wsrouter.d.ts is
// checked by compiling usage.ts.
//
// ./test.sh in the repository's root installs what they need and runs them. They
// use ws and playwright-core from ../node.
package clientjs
