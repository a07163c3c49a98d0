module github.com/wsrouter/wsrouter/internal/interop

go 1.25.0

require (
	github.com/stretchr/testify v1.12.1
	github.com/wsrouter/wsrouter v0.0.0-00010101000000-000000000000
)

require (
	github.com/coder/websocket v1.8.15 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace github.com/wsrouter/wsrouter => ../../
