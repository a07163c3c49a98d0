package chat

import (
	"context"
	"testing"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/redistest"
)

// TestCluster plays cluster.mjs with two servers, the second of which reaches Redis
// through a proxy.
func TestCluster(t *testing.T) {
	node, folder := needs(t)
	ctx, cancel := context.WithTimeout(t.Context(), process.Limit(t))
	defer cancel()
	redis := redistest.Start(t)
	proxy := redis.NewProxy(t)
	binary := process.Build(t, repository+"/examples/cluster")
	one := &server{ctx: ctx, binary: binary, args: []string{"-redis", "redis://" + redis.Addr}}
	two := &server{ctx: ctx, binary: binary, args: []string{"-redis", "redis://" + proxy.Addr}}
	one.start(t, "127.0.0.1:0")
	two.start(t, "127.0.0.1:0")
	play(t, ctx, map[string]func(){
		"cut":  proxy.Cut,
		"heal": proxy.Heal,
		"kill": func() { one.kill(t) },
	}, node, "drive.mjs", "./cluster.mjs", folder, "http://"+one.addr, "http://"+two.addr)
	two.stop(t)
}
