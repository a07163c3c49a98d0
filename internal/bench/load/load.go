// Package load is the other side of a benchmark: it opens many connections to a
// server, speaks raw WebSocket frames over them, and compares every answer with the
// expected one. It runs in a process of its own, does as little as possible for
// each message, and reads the server's processor time at the same moments as its
// own counts.
//
// It needs Linux (epoll, and processor clocks of other processes).
package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// Command is one thing to do. A load process reads Commands as JSON, one after
// another, and answers each with a Reply.
type Command struct {
	Op   string `json:"op"`   // "connect", "check", "echo", "broadcast", "hold", "drain", "close"
	PID  int    `json:"pid"`  // the server's
	Port int    `json:"port"` // the server's, on 127.0.0.1

	Dialect string `json:"dialect,omitempty"` // of the server; the first connect needs it
	Conns   int    `json:"conns,omitempty"`   // connect until there are this many

	Size     int           `json:"size,omitempty"`      // bytes of data in a message
	InFlight int           `json:"in_flight,omitempty"` // per connection; for broadcasts in total
	Spread   int           `json:"spread,omitempty"`    // in place of InFlight: in total over all connections
	Active   int           `json:"active,omitempty"`    // with Spread: how many connections take turns; 0 means all
	Warm     time.Duration `json:"warm,omitempty"`      // before the window
	For      time.Duration `json:"for,omitempty"`       // the window's length; after connecting, how long the last connection may still cost
}

// Reply is a command's result, or its error.
type Reply struct {
	Result
	Error string `json:"error,omitempty"`
}

// connectBatch is how many connections are opened before pings are answered.
const connectBatch = 2000

// Run carries out the commands that come in until there are no more.
func Run(in io.Reader, out io.Writer) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	decoder, encoder := json.NewDecoder(in), json.NewEncoder(out)
	var l *loop
	for {
		var cmd Command
		if err := decoder.Decode(&cmd); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if l == nil {
			d, err := dialectOf(cmd.Dialect)
			if err != nil {
				return err
			}
			if l, err = newLoop(d); err != nil {
				return err
			}
			defer l.end()
		}
		var reply Reply
		result, err := l.do(cmd)
		if err != nil {
			reply.Error = fmt.Sprintf("%s: %v", cmd.Op, err)
		}
		reply.Result = result
		if err := encoder.Encode(reply); err != nil {
			return err
		}
	}
}

func (l *loop) do(cmd Command) (Result, error) {
	if cmd.Op != "connect" && len(l.conns) == 0 {
		return Result{}, errors.New("not connected")
	}
	if max(cmd.InFlight, cmd.Spread) > ring {
		return Result{}, fmt.Errorf("more than %d in flight", ring)
	}
	switch cmd.Op {
	case "connect":
		return l.connect(cmd)
	case "check":
		return Result{}, l.check()
	case "echo":
		return l.echo(cmd)
	case "broadcast":
		return l.broadcast(cmd)
	case "hold":
		return l.hold(cmd)
	case "drain":
		return l.drain(cmd)
	case "close":
		l.close()
		return Result{}, nil
	default:
		return Result{}, errors.New("no such command")
	}
}

// connect opens connections until there are cmd.Conns. Pings of those that are open
// are answered meanwhile.
func (l *loop) connect(cmd Command) (Result, error) {
	more := max(cmd.Conns-len(l.conns), 0)
	before, err := ProcessTime(cmd.PID)
	if err != nil {
		return Result{}, err
	}
	begin := time.Now()
	for len(l.conns) < cmd.Conns {
		conns, err := dial(cmd.Port, min(cmd.Conns-len(l.conns), connectBatch), l.dialect)
		if err != nil {
			return Result{}, err
		}
		if err := l.add(conns); err != nil {
			return Result{}, err
		}
		if err := l.answerPings(); err != nil {
			return Result{}, err
		}
	}
	took := time.Since(begin)
	time.Sleep(cmd.For)
	after, err := ProcessTime(cmd.PID)
	return Result{Messages: more, Seconds: took.Seconds(), CPU: (after - before).Seconds()}, err
}
