package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"strconv"
	"testing"

	"github.com/wsrouter/wsrouter/internal/socket"
)

// benched upgrades one end of a TCP connection.
func benched(b *testing.B) (*socket.Conn, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	client, _ := net.Dial("tcp", l.Addr().String())
	server, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	conn := acceptWith(b, server, client, options())
	b.Cleanup(conn.Abort)
	return conn, client
}

// benchEcho sends messages and reads their echoes, which have no masks.
func benchEcho(b *testing.B, sent []byte, messages int) {
	conn, client := benched(b)
	done := make(chan struct{})
	go func() { echo(conn); close(done) }()
	got := make([]byte, len(sent)-4*messages)
	b.ReportAllocs()
	for b.Loop() {
		client.Write(sent)
		if _, err := io.ReadFull(client, got); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
	<-done
}

// BenchmarkEcho sends one message there and back.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{30, 1000, 20_000, 200_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) { benchEcho(b, masked(0x82, string(make([]byte, size))), 1) })
	}
}

// BenchmarkPipeline sends 16 messages at once there and back.
func BenchmarkPipeline(b *testing.B) {
	benchEcho(b, bytes.Repeat(masked(0x81, "about thirty bytes of a message"), 16), 16)
}

// BenchmarkBatch writes a batch of 16 messages, as the writers of a broadcast do.
func BenchmarkBatch(b *testing.B) {
	conn, client := benched(b)
	go io.Copy(io.Discard, client)
	data := bytes.Repeat([]byte("x"), 100)
	b.ReportAllocs()
	for b.Loop() {
		conn.Begin()
		for range 16 {
			conn.Write("", data, true)
		}
		if err := errors.Join(conn.End()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdle reports the memory of a connection that waits in Read.
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		const many = 500
		before := held()
		var conns []*socket.Conn
		for range many {
			conn, _ := benched(b)
			go conn.Read()
			conns = append(conns, conn)
		}
		b.ReportMetric(float64(held()-before)/many, "B/conn")
		for _, conn := range conns {
			conn.Abort()
		}
	}
}

func held() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
