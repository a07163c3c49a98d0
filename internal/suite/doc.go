// Package suite has the tests of package wsrouter that need nothing but what it
// exports. Their coverage: go test -coverpkg github.com/wsrouter/wsrouter .
package suite
