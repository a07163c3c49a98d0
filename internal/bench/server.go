package main

// server is one of those that are compared.
type server struct {
	name    string // of the -only flag, and of the program
	title   string // in tables
	dialect string // how to speak to it
	node    bool   // a script in node/, else Go
	grows   bool   // is also measured with many connections and large messages
}

// servers are interleaved in this order.
var servers = []server{
	{name: "wsrouter", title: "wsrouter", dialect: "plain", grows: true},
	{name: "wsrouter-detach", title: "wsrouter, Detach", dialect: "plain"},
	{name: "wsrouter-socketio", title: "wsrouter, Socket.IO", dialect: "socketio", grows: true},
	{name: "coder", title: "coder/websocket loop", dialect: "plain", grows: true},
	{name: "gorilla", title: "gorilla/websocket loop", dialect: "plain"},
	{name: "gws", title: "gws", dialect: "plain", grows: true},
	{name: "melody", title: "melody", dialect: "plain"},
	{name: "centrifuge", title: "centrifuge", dialect: "centrifuge"},
	{name: "node-ws", title: "Node.js ws", dialect: "plain", node: true, grows: true},
	{name: "node-socketio", title: "Node.js socket.io", dialect: "socketio", node: true, grows: true},
	{name: "nest-ws", title: "NestJS, WsAdapter", dialect: "plain", node: true},
	{name: "nest-socketio", title: "NestJS, socket.io", dialect: "socketio", node: true},
}
