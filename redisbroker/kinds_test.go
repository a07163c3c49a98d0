package redisbroker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/loopback"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
)

// reaches checks that two nodes reach each other with these options.
func reaches(t *testing.T, a, b rueidis.ClientOption) {
	t.Helper()
	node := func(option rueidis.ClientOption) *wsrouter.Router {
		broker, err := redisbroker.New(option, &redisbroker.Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		t.Cleanup(func() { broker.Close() })
		return newNode(t, broker)
	}
	ra, rb := node(a), node(b)
	ca, cb := connect(t, ra), connect(t, rb)
	for i := range 100 {
		require.NoError(t, ra.To("room").Emit("from a", i))
		require.NoError(t, rb.To("room").Except("x").Emit("from b", i))
	}
	for _, client := range []interface{ Next(any) string }{ca, cb} {
		next := map[string]int{}
		for range 200 {
			var i int
			name := client.Next(&i)
			require.Equal(t, next[name], i, name)
			next[name]++
		}
	}
	for _, r := range []*wsrouter.Router{ra, rb} {
		members, err := r.Find(t.Context())
		require.NoError(t, err)
		assert.Len(t, members, 2)
	}
	require.NoError(t, ra.To("room").Join("more"))
	require.NoError(t, ra.To("more").Emit("joined"))
	cb.Expect("joined", nil)
}

// Two masters with a replica each. Nodes subscribe at masters, where all of
// Node.js's clients count.
func TestRedisCluster(t *testing.T) {
	type server struct {
		*redistest.Server
		client rueidis.Client
		bus    string
	}
	start := func() server {
		_, bus, _ := net.SplitHostPort(loopback.Hold(t))
		s := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--repl-diskless-sync-delay", "0")
		return server{s, newClient(t, s.Addr), bus}
	}
	command := func(s server, words ...string) (string, error) {
		return s.client.Do(t.Context(), s.client.B().Arbitrary(words...).Build()).ToString()
	}
	do := func(s server, words ...string) string {
		result, err := command(s, words...)
		require.NoError(t, err, words)
		return result
	}
	a, b := start(), start()
	servers := []server{a, b, start(), start()}
	do(a, "CLUSTER", "ADDSLOTSRANGE", "0", "8000")
	do(b, "CLUSTER", "ADDSLOTSRANGE", "8001", "16383")
	for _, s := range servers[1:] {
		host, port, _ := net.SplitHostPort(s.Addr)
		do(a, "CLUSTER", "MEET", host, port, s.bus)
	}
	for i, replica := range servers[2:] {
		id := do(servers[i], "CLUSTER", "MYID")
		eventually(t, func() bool { // it must learn of its master first
			_, err := command(replica, "CLUSTER", "REPLICATE", id)
			return err == nil
		})
	}
	for _, s := range servers {
		eventually(t, func() bool {
			if !strings.Contains(do(s, "CLUSTER", "INFO"), "cluster_state:ok") {
				return false
			}
			slots, err := s.client.Do(t.Context(), s.client.B().ClusterSlots().Build()).ToArray()
			return err == nil && !slices.ContainsFunc(slots, func(part rueidis.RedisMessage) bool {
				nodes, _ := part.ToArray() // two numbers precede them
				return len(nodes) != 4
			})
		})
	}
	option := rueidis.ClientOption{InitAddress: []string{a.Addr}}
	reaches(t, option, rueidis.ClientOption{InitAddress: []string{b.Addr}})
	for range 5 {
		broker, err := redisbroker.New(option, nil)
		require.NoError(t, err)
		t.Cleanup(func() { broker.Close() })
		connect(t, newNode(t, broker))
	}
	for _, replica := range servers[2:] {
		channels, err := replica.client.Do(t.Context(), replica.client.B().PubsubChannels().Build()).AsStrSlice()
		require.NoError(t, err)
		assert.Empty(t, channels)
	}
}

// Servers before Redis 6 speak an older protocol.
func TestRESP2(t *testing.T) {
	addr := redistest.Start(t).Addr
	old := optionFor(addr)
	old.AlwaysRESP2 = true
	reaches(t, old, optionFor(addr))
}

func TestSentinel(t *testing.T) {
	master := redistest.Start(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "sentinel monitor main %s %s 1\n", host, port), 0o600))
	sentinel := redistest.StartSentinel(t, config)
	option := rueidis.ClientOption{
		InitAddress: []string{sentinel.Addr},
		Sentinel:    rueidis.SentinelOption{MasterSet: "main"},
	}
	reaches(t, option, optionFor(master.Addr))
}

func TestTLSAndPassword(t *testing.T) {
	certFile, keyFile, pool := certificate(t)
	_, port, _ := net.SplitHostPort(loopback.Hold(t))
	redistest.Start(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-auth-clients", "no", "--requirepass", "secret")
	option := rueidis.ClientOption{
		InitAddress: []string{net.JoinHostPort("127.0.0.1", port)},
		Password:    "secret",
		TLSConfig:   &tls.Config{RootCAs: pool, ServerName: "localhost"},
	}
	reaches(t, option, option)
}

// certificate makes a self-signed certificate.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	write := func(name, kind string, data []byte) string {
		file := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600))
		return file
	}
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER), pool
}
