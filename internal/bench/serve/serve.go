// Package serve holds the Go servers that are compared. All do the same work:
// parse {"event":…,"data":…}, find the event's handler, decode the data, and
// encode what they send.
//
//	echo       answers with an event of the same name and data
//	broadcast  sends an event "news" with the data to everybody
//
// All run on net/http, without compression, and with the settings their own
// examples use, but for limits that the largest message would hit.
package serve

import (
	"bufio"
	"errors"
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

// maxMessage lets messages of a megabyte in.
const maxMessage = 4 << 20

var servers = map[string]func() http.Handler{
	"wsrouter":          newWsrouter,
	"wsrouter-detach":   newWsrouterDetach,
	"wsrouter-socketio": newWsrouterSocketIO,
	"coder":             newCoder,
	"gorilla":           newGorilla,
	"gws":               newGWS,
	"melody":            newMelody,
	"centrifuge":        newCentrifuge,
}

// Run serves on a port of its own, which it prints, until in ends. A line "gc"
// gives memory back to the system, "profile FILE" starts a processor profile and
// "profile" ends it, "heap FILE" writes a heap profile; each is answered by "ok".
func Run(name string, in io.Reader, out io.Writer) error {
	newHandler, ok := servers[name]
	if !ok {
		return fmt.Errorf("no server %q", name)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           newHandler(),
		ReadHeaderTimeout: 20 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go server.Serve(listener)
	fmt.Fprintln(out, "port", listener.Addr().(*net.TCPAddr).Port)

	lines := bufio.NewScanner(in)
	for lines.Scan() {
		word, argument, _ := strings.Cut(lines.Text(), " ")
		if err := control(word, argument); err != nil {
			return err
		}
		fmt.Fprintln(out, "ok")
	}
	return nil
}

func control(word, argument string) error {
	switch {
	case word == "gc":
		// Twice, as what the first finds in pools only the second frees.
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
	default:
		return fmt.Errorf("no command %q", word)
	}
}
