package handshake

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"unique"
)

// valuesOf is context.WithoutCancel, but drops what net/http has around and in ctx that
// takes memory for each connection: the layers that only serve to cancel it, some 400
// bytes, and the server's address, which is the same for many connections.
func valuesOf(ctx context.Context) context.Context {
	ctx = beneathCancels(ctx)
	addr, _ := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr)
	below, ok := beneath(ctx, valueLayer)
	if addr == nil || !ok || below.Value(http.LocalAddrContextKey) != nil {
		return context.WithoutCancel(ctx)
	}
	return local{context.WithoutCancel(beneathCancels(below)), unique.Make(addr.AddrPort())}
}

// local is a context in which the server's address takes little memory.
type local struct {
	context.Context
	addr unique.Handle[netip.AddrPort]
}

func (l local) Value(key any) any {
	if key == http.LocalAddrContextKey {
		return net.TCPAddrFromAddrPort(l.addr.Value())
	}
	return l.Context.Value(key)
}

// Types of contexts whose one exported field is the context that they were made from;
// nil if package context has changed.
var (
	cancelLayer = func() reflect.Type {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return layer(ctx)
	}()
	valueLayer = layer(context.WithValue(context.Background(), http.LocalAddrContextKey, nil))
)

func layer(ctx context.Context) reflect.Type {
	t := reflect.TypeOf(ctx)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	if f, ok := t.Elem().FieldByName("Context"); !ok || f.Type != reflect.TypeFor[context.Context]() {
		return nil
	}
	return t
}

// beneath returns the context below ctx, if ctx is a layer of that type.
func beneath(ctx context.Context, layer reflect.Type) (below context.Context, ok bool) {
	if layer == nil || reflect.TypeOf(ctx) != layer {
		return nil, false
	}
	return reflect.ValueOf(ctx).Elem().FieldByName("Context").Interface().(context.Context), true
}

func beneathCancels(ctx context.Context) context.Context {
	for {
		below, ok := beneath(ctx, cancelLayer)
		if !ok {
			return ctx
		}
		ctx = below
	}
}
