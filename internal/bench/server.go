package main

import (
	"slices"
	"strings"
)

// server is one of those that are compared.
type server struct {
	name    string // of the -only flag, and of the program
	title   string // in tables
	dialect string // how to speak to it
	color   string // of its lines, readable on white and on black
	node    bool   // a script in node/, else Go
	grows   bool   // is also measured with many connections and large messages
}

// servers are interleaved in this order.
var servers = []server{
	{name: "wsrouter", title: "wsrouter", dialect: "plain", color: "#2f81f7", grows: true},
	{name: "wsrouter-detach", title: "wsrouter, Detach", dialect: "plain", color: "#1b9e9e"},
	{name: "wsrouter-socketio", title: "wsrouter, Socket.IO", dialect: "socketio", color: "#a371f7", grows: true},
	{name: "coder", title: "coder/websocket loop", dialect: "plain", color: "#bf8700", grows: true},
	{name: "gorilla", title: "gorilla/websocket loop", dialect: "plain", color: "#8c6d5a"},
	{name: "gws", title: "gws", dialect: "plain", color: "#e5534b", grows: true},
	{name: "melody", title: "melody", dialect: "plain", color: "#2da44e"},
	{name: "centrifuge", title: "centrifuge", dialect: "centrifuge", color: "#e16f24"},
	{name: "node-ws", title: "Node.js ws", dialect: "plain", color: "#768390", node: true, grows: true},
	{name: "node-socketio", title: "Node.js socket.io", dialect: "socketio", color: "#c96198", node: true, grows: true},
	{name: "nest-ws", title: "NestJS, WsAdapter", dialect: "plain", color: "#7a9a01", node: true},
	{name: "nest-socketio", title: "NestJS, socket.io", dialect: "socketio", color: "#b35900", node: true},
}

// ours says that it is wsrouter.
func (s server) ours() bool { return strings.HasPrefix(s.name, "wsrouter") }

// label is its title in a table.
func (s server) label() string {
	if s.ours() {
		return "**" + s.title + "**"
	}
	return s.title
}

// named returns a server that there is.
func named(name string) server {
	return servers[slices.IndexFunc(servers, func(s server) bool { return s.name == name })]
}

// protocol is what a server's dialect is called; those with a framing of their
// own are compared with plain WebSocket.
func (s server) protocol() string {
	if s.dialect == "socketio" {
		return "Socket.IO over WebSocket"
	}
	return "WebSocket"
}
