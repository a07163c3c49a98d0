module github.com/wsrouter/wsrouter/internal/interop

go 1.25.0

require (
	github.com/gorilla/websocket v1.5.3
	github.com/redis/rueidis v1.0.79
	github.com/stretchr/testify v1.12.1
	github.com/wsrouter/wsrouter v0.1.0
	github.com/wsrouter/wsrouter/redisbroker v0.1.0
	go.yaml.in/yaml/v3 v3.0.5
)

require (
	github.com/coder/websocket v1.8.15 // indirect
	github.com/philhofer/fwd v1.2.0 // indirect
	github.com/tinylib/msgp v1.6.5 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/wsrouter/wsrouter => ../../

replace github.com/wsrouter/wsrouter/redisbroker => ../../redisbroker
