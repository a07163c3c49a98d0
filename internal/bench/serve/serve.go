// Package serve has the Go servers that are compared. All do the same work: parse
// {"event":…,"data":…}, find the event's handler, decode the data, and encode what
// they send.
//
//	echo       answers with an event of the same name and data
//	broadcast  sends an event "news" with the data to everybody
//
// All run on net/http, except nbio, which has a server of its own. None compresses.
// Settings are those of each library's own example, except for limits that the
// largest message would exceed. The floor does none of that work: it shows what the
// rest costs at least.
package serve

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"
)

// maxMessage is large enough for messages of a megabyte.
const maxMessage = 4 << 20

// settings are what the flags say. They apply to wsrouter only.
type settings struct {
	loops bool          // serve by event loops
	ping  time.Duration // PingInterval and PongTimeout; zero means the defaults
	sleep time.Duration // how long the handler of an echo waits
}

// server is ready to serve.
type server struct {
	handler http.Handler                // mounted in net/http
	serve   func(net.Listener) error    // in its place, if the library has a server of its own
	drain   func(context.Context) error // closes all connections; nil if that is not measured
}

var servers = map[string]func(settings) server{
	"wsrouter":          newWsrouter,
	"wsrouter-detach":   newWsrouterDetach,
	"wsrouter-socketio": newWsrouterSocketIO,
	"floor":             mounted(newFloor),
	"coder":             mounted(newCoder),
	"gorilla":           mounted(newGorilla),
	"gws":               mounted(newGWS),
	"melody":            mounted(newMelody),
	"centrifuge":        mounted(newCentrifuge),
	"nbio":              newNbio,
}

// mounted makes a server of a handler that net/http serves.
func mounted(newHandler func() http.Handler) func(settings) server {
	return func(settings) server { return server{handler: newHandler()} }
}

// Run serves on a port of its own, which it prints, until in ends. args are flags
// and the server's name. A line "gc" gives memory back to the system, "profile
// FILE" starts a processor profile and "profile" ends it, "heap FILE" writes a heap
// profile, and "drain DURATION" closes all connections within that time; Run
// answers each with "ok".
func Run(args []string, in io.Reader, out io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("bench serve", flag.ContinueOnError)
	flags.BoolVar(&s.loops, "loops", false, "wsrouter: serve with event loops")
	flags.DurationVar(&s.ping, "ping", 0, "wsrouter: the `silence` after which to ping a client, and how long to wait for the pong")
	flags.DurationVar(&s.sleep, "sleep", 0, "wsrouter: the `time` that the handler of an echo waits, as if for a database")
	if err := flags.Parse(args); err != nil {
		return err
	}
	newServer, ok := servers[flags.Arg(0)]
	if !ok {
		return fmt.Errorf("no server %q", flags.Arg(0))
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := newServer(s)
	if server.serve == nil {
		server.serve = (&http.Server{
			Handler:           server.handler,
			ReadHeaderTimeout: 20 * time.Second,
			ErrorLog:          log.New(io.Discard, "", 0),
		}).Serve
	}
	go func() { log.Fatal(server.serve(listener)) }()
	fmt.Fprintln(out, "port", listener.Addr().(*net.TCPAddr).Port)

	lines := bufio.NewScanner(in)
	for lines.Scan() {
		word, argument, _ := strings.Cut(lines.Text(), " ")
		if err := server.control(word, argument); err != nil {
			return err
		}
		fmt.Fprintln(out, "ok")
	}
	return nil
}

func (s server) control(word, argument string) error {
	switch {
	case word == "gc":
		// Twice, because what the first collection drops from pools only the second
		// frees.
		debug.FreeOSMemory()
		debug.FreeOSMemory()
		return nil
	case word == "profile" && argument != "":
		f, err := os.Create(argument)
		if err != nil {
			return err
		}
		return pprof.StartCPUProfile(f)
	case word == "heap":
		f, err := os.Create(argument)
		if err != nil {
			return err
		}
		return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
	case word == "profile":
		pprof.StopCPUProfile()
		return nil
	case word == "drain" && s.drain != nil:
		within, err := time.ParseDuration(argument)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		return s.drain(ctx)
	default:
		return fmt.Errorf("no command %q", word)
	}
}
