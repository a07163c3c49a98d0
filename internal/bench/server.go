package main

import (
	"slices"
	"strings"
)

// platform is what runs a server.
type platform int

const (
	inGo platform = iota
	inNode
	inBun
)

// server is one of the servers that are compared.
type server struct {
	name     string // in the -only flag
	title    string // in tables
	dialect  string // which protocol it speaks
	color    string // of its lines, readable on white and on black
	platform platform
	serves   string // its name in package serve, if that is different
	loops    bool   // with event loops
	grows    bool   // is also measured with many connections and large messages
	sizes    bool   // is also measured with large messages
}

// servers are interleaved in this order.
var servers = []server{
	{name: "wsrouter", title: "wsrouter", dialect: "plain", color: "#2f81f7", grows: true},
	{name: "wsrouter-detach", title: "wsrouter, Detach", dialect: "plain", color: "#1b9e9e"},
	{name: "wsrouter-loops", serves: "wsrouter", title: "wsrouter, loops", dialect: "plain", color: "#0aa2c0", loops: true, grows: true},
	{name: "wsrouter-detach-loops", serves: "wsrouter-detach", title: "wsrouter, Detach, loops", dialect: "plain", color: "#14b8a6", loops: true},
	{name: "wsrouter-socketio", title: "wsrouter, Socket.IO", dialect: "socketio", color: "#a371f7", grows: true},
	{name: "wsrouter-socketio-loops", serves: "wsrouter-socketio", title: "wsrouter, Socket.IO, loops", dialect: "socketio", color: "#8250df", loops: true, sizes: true},
	{name: "floor", title: "floor: net/http, no JSON", dialect: "plain", color: "#6e7781"},
	{name: "bun-ws", title: "Bun (uWebSockets)", dialect: "plain", color: "#d4569b", platform: inBun, grows: true},
	{name: "coder", title: "coder/websocket loop", dialect: "plain", color: "#bf8700", grows: true},
	{name: "gorilla", title: "gorilla/websocket loop", dialect: "plain", color: "#8c6d5a"},
	{name: "gws", title: "gws", dialect: "plain", color: "#e5534b", grows: true},
	{name: "nbio", title: "nbio", dialect: "plain", color: "#9a6700"},
	{name: "melody", title: "melody", dialect: "plain", color: "#2da44e"},
	{name: "centrifuge", title: "centrifuge", dialect: "centrifuge", color: "#e16f24"},
	{name: "node-ws", title: "Node.js ws", dialect: "plain", color: "#768390", platform: inNode, grows: true},
	{name: "node-socketio", title: "Node.js socket.io", dialect: "socketio", color: "#c96198", platform: inNode, grows: true},
	{name: "bun-socketio", title: "Bun socket.io, bun-engine", dialect: "socketio", color: "#b5179e", platform: inBun, sizes: true},
	{name: "nest-ws", title: "NestJS, WsAdapter", dialect: "plain", color: "#7a9a01", platform: inNode},
	{name: "nest-socketio", title: "NestJS, socket.io", dialect: "socketio", color: "#b35900", platform: inNode},
}

// anchor is the fastest peer, with which the others are compared.
const anchor = "bun-ws"

// ours reports whether the server is wsrouter.
func (s server) ours() bool { return strings.HasPrefix(s.name, "wsrouter") }

// isPeer reports whether the server does the same work, and is not ours.
func (s server) isPeer() bool { return !s.ours() && s.name != "floor" }

// label returns the server's title in a table.
func (s server) label() string {
	if s.ours() {
		return "**" + s.title + "**"
	}
	return s.title
}

// find returns the server with a name.
func find(name string) (server, bool) {
	i := slices.IndexFunc(servers, func(s server) bool { return s.name == name })
	if i < 0 {
		return server{}, false
	}
	return servers[i], true
}

// named returns a server that must exist.
func named(name string) server {
	s, ok := find(name)
	if !ok {
		panic("no server " + name)
	}
	return s
}

// protocol returns the name of the server's protocol. Those with a framing of their
// own are compared with plain WebSocket.
func (s server) protocol() string {
	if s.dialect == "socketio" {
		return "Socket.IO over WebSocket"
	}
	return "WebSocket"
}

// command returns how to start the server: as this program, or a script in node/.
func (s server) command(self string, flags ...string) (program string, args []string, err error) {
	script := "node/" + s.name + ".mjs"
	switch s.platform {
	case inNode:
		return "node", []string{"--expose-gc", script}, nil
	case inBun:
		bun, err := findBun()
		return bun, []string{script}, err
	}
	args = append([]string{"serve"}, flags...)
	if s.loops {
		args = append(args, "-loops")
	}
	if s.serves != "" {
		return self, append(args, s.serves), nil
	}
	return self, append(args, s.name), nil
}
