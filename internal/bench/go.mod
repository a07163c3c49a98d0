module github.com/wsrouter/wsrouter/internal/bench

go 1.25.0

require (
	github.com/coder/websocket v1.8.15
	github.com/lxzan/gws v1.8.9
	github.com/wsrouter/wsrouter v0.0.0-00010101000000-000000000000
)

require (
	github.com/dolthub/maphash v0.1.0 // indirect
	github.com/klauspost/compress v1.17.9 // indirect
)

replace github.com/wsrouter/wsrouter => ../../
