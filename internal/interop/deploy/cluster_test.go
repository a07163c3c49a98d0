package deploy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
	"github.com/wsrouter/wsrouter/internal/loopback"
	"github.com/wsrouter/wsrouter/internal/redistest"
)

var names = []string{"a", "b", "c", "d"}

// cluster is servers behind nginx, joined by a Redis.
type cluster struct {
	addr  string // nginx's
	nodes []*node
	http  *http.Client // trusts nginx's certificate
}

func startCluster(t *testing.T, flags ...string) *cluster {
	t.Helper()
	flags = append(flags, "-redis", redistest.Start(t).Addr)
	binary := process.Build(t, "server")
	c := new(cluster)
	var wg sync.WaitGroup
	for _, name := range names {
		n := &node{t: t, name: name, addr: loopback.Hold(t), binary: binary, flags: flags, began: make(map[string]int)}
		c.nodes = append(c.nodes, n)
		n.start()
		t.Cleanup(n.kill) // unless the test has stopped it
		wg.Go(n.awaitReady)
	}
	wg.Wait()
	require.False(t, t.Failed())
	c.startNginx(t)
	return c
}

// node is one server, and its successors at the same address.
type node struct {
	t            *testing.T
	name, addr   string
	binary       string
	flags        []string
	process      *process.Process
	began        map[string]int // requests that a handler began to handle, in all processes at this address
	outputIsRead chan struct{}  // closed when the process has ended and began is complete
}

func (n *node) start() {
	n.t.Helper()
	n.process = process.Start(n.t, ".", n.binary, append([]string{"-addr", n.addr, "-node", n.name}, n.flags...)...)
	n.outputIsRead = make(chan struct{})
	go func(p *process.Process, read chan struct{}) {
		defer close(read)
		for {
			var id string
			if p.Stdout.Decode(&id) != nil {
				return
			}
			n.began[id]++
		}
	}(n.process, n.outputIsRead)
}

// stop sends SIGTERM and returns how long the process took to end without a
// failure.
func (n *node) stop() time.Duration {
	begin := time.Now()
	n.process.Cmd.Process.Signal(syscall.SIGTERM)
	<-n.outputIsRead
	if err := n.process.Wait(); err != nil {
		n.t.Errorf("server %s did not shut down in peace: %v (66 is the race detector's)", n.name, err)
	}
	return time.Since(begin)
}

// kill ends the process when the test no longer needs it. What it has printed by
// then counts.
func (n *node) kill() {
	n.process.Cmd.Process.Kill()
	<-n.outputIsRead
	n.process.Wait()
}

func (n *node) awaitReady() {
	await(n.t, n.name+" to be ready", func() error {
		resp, err := http.Get("http://" + n.addr + "/readyz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// tell emits news on this server.
func (n *node) tell(number int) error {
	resp, err := http.Post(fmt.Sprintf("http://%s/news?n=%d", n.addr, number), "", nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// await polls until a condition holds.
func await(t *testing.T, what string, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("waited for %s: %v", what, err)
			return
		}
	}
}

// startNginx runs nginx with the page's configuration, except for the ports and the
// certificate.
func (c *cluster) startNginx(t *testing.T) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // on Debian not in the path of users other than root
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("nginx is missing: install it, on Debian with: apt-get install nginx")
	}
	dir := t.TempDir()
	c.addr = loopback.Hold(t)
	c.trust(t, dir)
	config := snippets(t, "nginx")[0]
	replace := func(old, by string) {
		require.Contains(t, config, old)
		config = strings.ReplaceAll(config, old, by)
	}
	for i, n := range c.nodes {
		replace(fmt.Sprintf("127.0.0.1:%d", 3001+i), n.addr)
	}
	replace("listen 443", "listen "+c.addr)
	replace("/etc/ssl/", dir+"/")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // whose directory this is
	}
	main := fmt.Sprintf(frame, user, dir, config)
	require.NoError(t, os.WriteFile(dir+"/nginx.conf", []byte(main), 0o600))
	process.Start(t, dir, program, "-p", dir, "-c", dir+"/nginx.conf", "-e", "stderr")
	await(t, "nginx", func() error {
		conn, err := net.Dial("tcp", c.addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// frame surrounds the page's configuration, as on any machine.
const frame = `
%s
daemon off;
worker_processes 2;
pid %[2]s/pid;
error_log stderr error;
events { worker_connections 2048; }
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
%[3]s
}
`

// trust makes nginx's certificate, and makes the test's clients trust it.
func (c *cluster) trust(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	private := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})
	require.NoError(t, os.WriteFile(dir+"/app.pem", public, 0o600))
	require.NoError(t, os.WriteFile(dir+"/app.key", private, 0o600))
	t.Setenv("NODE_EXTRA_CA_CERTS", dir+"/app.pem")
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(public))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	c.http = &http.Client{Transport: transport, Timeout: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
}

// get asks nginx and returns the status and the body.
func (c *cluster) get(path string) (status int, body string, err error) {
	resp, err := c.http.Get("https://" + c.addr + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}
