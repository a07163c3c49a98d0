package wsroutertest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/adapter"
	"github.com/wsrouter/wsrouter/payload"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

// ServeLines is an adapter for clients over TCP whose protocol is lines of JSON.
//
//	["event", argument]    both ways
//	{"ping":1} {"pong":1}  from the server, from the client
//	{"close":1000}         both ways, followed by the end
func ServeLines(l net.Listener, host adapter.Host) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go serveLine(conn, host)
	}
}

// serveLine serves one client.
func serveLine(conn net.Conn, host adapter.Host) {
	defer conn.Close()
	t := &lineTransport{conn: conn, limits: host.Limits()}
	req := &http.Request{Header: http.Header{}, RemoteAddr: conn.RemoteAddr().String()}
	if host.Admit(req) != nil {
		return
	}
	blocking := adapter.NewBlocking(t)
	link, err := host.NewLink(blocking, adapter.LinkOptions{Request: req})
	if err != nil {
		return
	}
	blocking.Attach(link)
	ns, err := link.Join(host.Lookup("/"), lineFormat{}, nil)
	if err != nil {
		link.Close(adapter.End{Code: 1013, Reason: err.Error(), Cause: adapter.CauseLocal})
	}
	end := t.read(blocking, link, ns)
	if end.Cause != adapter.CausePeer {
		link.Close(end)             // tells the peer
		io.Copy(io.Discard, t.conn) // until the client has been told
	}
	conn.Close()
	<-link.End(end)
}

// lineTransport is an [adapter.BlockingTransport].
type lineTransport struct {
	conn   net.Conn
	limits adapter.Limits
}

// read reads until the connection ends, and returns how it ended.
func (t *lineTransport) read(gate *adapter.Blocking, link adapter.Link, conn adapter.Conn) adapter.End {
	lines := bufio.NewReader(lively{t.conn, link})
	for {
		line, err := t.line(lines)
		switch {
		case err == errTooLong:
			return adapter.End{Code: 1009, Reason: err.Error(), Cause: adapter.CauseProtocol}
		case errors.Is(err, os.ErrDeadlineExceeded):
			return adapter.End{Code: 1008, Reason: "message took too long", Cause: adapter.CauseTimeout}
		case err != nil:
			return adapter.End{Code: 1006, Cause: adapter.CausePeer, Err: err}
		}
		m, end, err := parseLine(line)
		switch {
		case err != nil:
			return adapter.End{Code: 1002, Reason: "no message", Cause: adapter.CauseProtocol, Err: err}
		case end != nil:
			return *end
		case m == nil:
			link.Arrived(adapter.Frame{})
		case link.Arrived(adapter.Frame{Text: line}) && conn.Receive(m) == adapter.Pause:
			gate.Wait()
		}
	}
}

var errTooLong = errors.New("message too big")

// line waits for a line, and reads it.
func (t *lineTransport) line(r *bufio.Reader) (line []byte, err error) {
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	t.conn.SetReadDeadline(time.Now().Add(t.limits.MessageTimeout))
	defer t.conn.SetReadDeadline(time.Time{})
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(bytes.TrimSuffix(line, []byte("\n"))) > t.limits.MaxMessage:
			return nil, errTooLong
		case err == nil:
			return line[:len(line)-1], nil
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

// lively reports each arrival of bytes.
type lively struct {
	io.Reader
	link adapter.Link
}

func (l lively) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	l.link.Alive()
	return n, err
}

// parseLine parses a line into a message or an end, or neither.
func parseLine(line []byte) (*adapter.Message, *adapter.End, error) {
	if bytes.HasPrefix(line, []byte("{")) {
		var control struct{ Close, Pong int }
		if err := json.Unmarshal(line, &control); err != nil || control.Close == 0 {
			return nil, nil, err
		}
		return nil, &adapter.End{Code: control.Close, Cause: adapter.CausePeer}, nil
	}
	var event []json.RawMessage
	if err := json.Unmarshal(line, &event); err != nil {
		return nil, nil, err
	}
	if len(event) != 2 {
		return nil, nil, errors.New("no event with an argument")
	}
	m := &adapter.Message{Kind: adapter.KindEvent, Data: payload.Value{JSON: event[1]}, Arity: adapter.ArityOne, Size: len(line)}
	return m, nil, json.Unmarshal(event[0], &m.Event)
}

// Write implements [adapter.BlockingTransport]. Frames made by lineFormat only have
// Text.
func (t *lineTransport) Write(batch []adapter.Frame) error {
	var b bytes.Buffer
	for _, f := range batch {
		b.Write(f.Text)
		b.WriteByte('\n')
	}
	return t.write(b.Bytes())
}

func (t *lineTransport) write(b []byte) error {
	t.conn.SetWriteDeadline(time.Now().Add(t.limits.WriteTimeout))
	_, err := t.conn.Write(b)
	return err
}

// Ping implements [adapter.BlockingTransport].
func (t *lineTransport) Ping() { t.write([]byte("{\"ping\":1}\n")) }

// Close implements [adapter.BlockingTransport].
func (t *lineTransport) Close(e adapter.End) {
	t.conn.SetWriteDeadline(time.Now().Add(min(5*time.Second, t.limits.WriteTimeout)))
	fmt.Fprintf(t.conn, "{\"close\":%d}\n", e.Code)
	t.conn.Close()
}

// Abort implements [adapter.BlockingTransport].
func (t *lineTransport) Abort() { t.conn.Close() }

// lineFormat is an [adapter.Format].
type lineFormat struct{}

// Encode implements [adapter.Format].
func (lineFormat) Encode(m *adapter.Message) (adapter.Frame, error) {
	if m.Kind != adapter.KindEvent && m.Kind != adapter.KindReply {
		return adapter.Frame{}, nil // the protocol has no requests
	}
	b, err := json.Marshal(append([]any{m.Event}, m.Args...))
	return adapter.Frame{Text: b}, err
}

// This is an adapter for lines of JSON over TCP. Its test would be
//
//	func TestLines(t *testing.T) {
//		wsroutertest.TestTransport(t, wsroutertest.TransportAdapter{
//			Serve: func(tb testing.TB, host adapter.Host) func() *wsroutertest.TransportPeer {
//				l, err := net.Listen("tcp", "127.0.0.1:0")
//				…
//				go ServeLines(l, host)
//				return func() *wsroutertest.TransportPeer { … }
//			},
//		})
//	}
func Example_adapter() {
	router := wsrouter.New(nil)
	router.On("greet", func(c *wsrouter.Context) error {
		var name string
		if err := c.Bind(&name); err != nil {
			return err
		}
		return c.Reply("hello, " + name)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go ServeLines(l, router.Adapter())

	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(conn, `["greet","Ada"]`)
	lines := bufio.NewScanner(conn)
	lines.Scan()
	fmt.Println(lines.Text())

	router.Shutdown(context.Background())
	lines.Scan()
	fmt.Println(lines.Text())
	l.Close()
	// Output:
	// ["greet","hello, Ada"]
	// {"close":1001}
}

// linePeer is the client's end of a connection.
func linePeer(tb testing.TB, conn net.Conn) *wsroutertest.TransportPeer {
	slow := &wsroutertest.SlowConn{Conn: conn}
	lines := bufio.NewReader(slow)
	return &wsroutertest.TransportPeer{
		Send: func(data string) error { _, err := fmt.Fprintf(slow, "[\"e\",%s]\n", data); return err },
		Read: func() (wsroutertest.TransportPart, error) {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return wsroutertest.TransportPart{}, err
			}
			line = line[:len(line)-1]
			if strings.HasPrefix(string(line), `{"ping"`) {
				go fmt.Fprint(slow, "{\"pong\":1}\n")
			}
			return wsroutertest.TransportPart{Data: line, Own: line[0] == '{'}, nil
		},
		Cut:     func() { conn.Close() },
		Goodbye: func() { fmt.Fprint(slow, "{\"close\":1000}\n") },
		Garbage: func() { fmt.Fprint(slow, "[what\n") },
		Half:    func(data string) { fmt.Fprint(slow, "[\"e\","+data); conn.Close() },
		Begin:   func(data string) { fmt.Fprint(slow, "[\"e\","+data) },
		Slow:    slow.Slow,
	}
}

// pipes serves lines in memory.
func pipes(tb testing.TB, host adapter.Host) (connect func() *wsroutertest.TransportPeer) {
	return func() *wsroutertest.TransportPeer {
		client, server := net.Pipe()
		tb.Cleanup(func() { client.Close() })
		go serveLine(server, host)
		return linePeer(tb, client)
	}
}

// sockets serves lines over TCP.
func sockets(tb testing.TB, host adapter.Host) (connect func() *wsroutertest.TransportPeer) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	go ServeLines(l, host)
	return func() *wsroutertest.TransportPeer {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			tb.Fatal(err)
		}
		return linePeer(tb, conn)
	}
}

const lineOverhead = len(`["e",]`)

func TestLines(t *testing.T) {
	wsroutertest.TestTransport(t, wsroutertest.TransportAdapter{Serve: pipes, Bubble: true, Overhead: lineOverhead})
}

func TestLinesOverTCP(t *testing.T) {
	wsroutertest.TestTransport(t, wsroutertest.TransportAdapter{Serve: sockets, Overhead: lineOverhead})
}
