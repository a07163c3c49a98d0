package main

import "fmt"

// target is what wsrouter is meant to reach, beside a peer in the same run.
type target struct {
	what    string
	measure string
	server  string
	peer    string
	metric  metric
	most    float64 // times the peer
}

var targets = []target{
	{"Echo, 1 in flight", "echo1", "wsrouter", "coder", cpu, 1.10},
	{"Echo, 16 in flight", "echo16", "wsrouter", "coder", cpu, 0.45},
	{"Broadcast to 1,000", "broadcast1000", "wsrouter", "gws", cpu, 0.80},
	{"Broadcast to 1,000", "broadcast1000", "wsrouter", "melody", cpu, 0.60},
	{"Memory of an idle connection", "idle", "wsrouter", "coder", held, 1.00},
	{"Memory of an idle connection", "idle", "wsrouter-detach", "coder", held, 0.55},
	{"Connect", "idle", "wsrouter", "coder", cpu, 1.10},
	{"Socket.IO echo, 1 in flight", "echo1", "wsrouter-socketio", "node-socketio", cpu, 0.80},
	{"Socket.IO echo, 16 in flight", "echo16", "wsrouter-socketio", "node-socketio", cpu, 0.35},
}

// verdict says whether a ratio reaches the target, and if not by how much.
func (t target) verdict(ratio float64) string {
	// As it is printed, so that nobody sees 1.10 missing 1.10.
	if over := round2(ratio)/t.most - 1; over > 0 {
		return fmt.Sprintf("missed by %.0f %%", max(over*100, 1))
	}
	return "met"
}
