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
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/redistest"
	"github.com/wsrouter/wsrouter/redisbroker"
)

// reaches checks that two nodes reach each other by way of the options.
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

func TestRedisCluster(t *testing.T) {
	a := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-port", freePort(t))
	busB := freePort(t)
	b := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-port", busB)
	ca, cb := newClient(t, a.Addr), newClient(t, b.Addr)
	do := func(c rueidis.Client, command ...string) string {
		result := c.Do(t.Context(), c.B().Arbitrary(command...).Build())
		require.NoError(t, result.Error(), command)
		s, _ := result.ToString()
		return s
	}
	do(ca, "CLUSTER", "ADDSLOTSRANGE", "0", "8000")
	do(cb, "CLUSTER", "ADDSLOTSRANGE", "8001", "16383")
	host, port, _ := net.SplitHostPort(b.Addr)
	do(ca, "CLUSTER", "MEET", host, port, busB)
	for _, c := range []rueidis.Client{ca, cb} {
		eventually(t, func() bool {
			return strings.Contains(do(c, "CLUSTER", "INFO"), "cluster_state:ok")
		})
	}
	reaches(t, rueidis.ClientOption{InitAddress: []string{a.Addr}}, rueidis.ClientOption{InitAddress: []string{b.Addr}})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
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
	port := freePort(t)
	redistest.Start(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-auth-clients", "no", "--requirepass", "secret")
	option := rueidis.ClientOption{
		InitAddress: []string{net.JoinHostPort("127.0.0.1", port)},
		Password:    "secret",
		TLSConfig:   &tls.Config{RootCAs: pool, ServerName: "localhost"},
	}
	reaches(t, option, option)
}

// certificate makes one that signs itself.
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
