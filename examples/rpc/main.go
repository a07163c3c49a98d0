// Command rpc is two services that call each other over one connection. An asker
// has a text, and a worker engraves it, word by word:
//
//	asker                                  worker
//	  | -- "engrave" words 0 to 13 -----------> |   Pull, HandleStream
//	  | <--------------------------- "word" 0 - |   Call: the worker asks back
//	  | -- "Some" ----------------------------> |   Handle
//	  | <----------------------------- "SOME" - |   the bar in the terminal moves
//	  | -- cancel ----------------------------> |   Ctrl-C: the worker stops
//
// Both run in one process, over memory, or in two processes. If the worker gets the
// Ctrl-C, the asker waits for the next worker and continues where it was.
//
//	go run ./examples/rpc
//	go run ./examples/rpc -serve 127.0.0.1:3001
//	go run ./examples/rpc -job "Call me Ishmael" ws://127.0.0.1:3001/
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/wsrouter/wsrouter"
)

func main() {
	addr := flag.String("serve", "", "be the worker, at this `address`")
	job := flag.String("job", "Some years ago, never mind how long precisely, I thought I would sail", "the `text` to engrave")
	flag.Parse()
	log.SetFlags(0)
	slog.SetLogLoggerLevel(slog.LevelWarn) // both report on their own who comes and goes
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once

	var err error
	w, show := newWorker(os.Stderr), newBar(os.Stdout)
	switch url := flag.Arg(0); {
	case *addr != "":
		err = w.serve(ctx, *addr)
	case url != "":
		err = ask(ctx, *job, show, func(ctx context.Context, opts *wsrouter.DialOptions) (*wsrouter.Client, error) {
			return wsrouter.Dial(ctx, url, opts)
		})
	default:
		err = errors.Join(ask(ctx, *job, show, w.Connect), w.Shutdown(context.Background()))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// Job asks for a text to be engraved from word Done on.
type Job struct{ Done, Words int }

type worker struct {
	*wsrouter.Router
	log  *log.Logger
	jobs sync.WaitGroup // the goroutines behind the streams
}

func newWorker(logs io.Writer) *worker {
	w := &worker{Router: wsrouter.New(nil), log: log.New(logs, "worker: ", 0)}
	wsrouter.HandleStream(w.Router, "engrave", w.engrave)
	return w
}

// engrave answers with a channel that a goroutine fills, no faster than the asker
// pulls. For each word it calls the asker, over the connection of the job.
func (w *worker) engrave(c *wsrouter.Context, job Job) (<-chan string, error) {
	ctx, engraved := c.Context(), make(chan string)
	w.jobs.Go(func() {
		defer close(engraved)
		for n := job.Done; n < job.Words; n++ {
			word, err := wsrouter.Call[string](ctx, c.Conn(), "word", n)
			select {
			case <-time.After(time.Duration(len(word)) * 50 * time.Millisecond): // hammer, hammer
			case <-ctx.Done(): // the asker has canceled or gone, or we shut down
				err = context.Cause(ctx)
			}
			if err != nil {
				w.log.Printf("canceled after word %d of %d: %v", n, job.Words, err)
				return
			}
			engraved <- strings.ToUpper(word) // received even if nobody wants it
		}
		w.log.Printf("done with %d words", job.Words)
	})
	return engraved, nil
}

// Shutdown ends the jobs, tells the askers so, and waits for both.
func (w *worker) Shutdown(ctx context.Context) error {
	defer w.jobs.Wait()
	return w.Router.Shutdown(ctx)
}

// serve serves the worker on the network until ctx ends.
func (w *worker) serve(ctx context.Context, addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	w.log.Printf("listening on ws://%s/", listener.Addr())
	server := &http.Server{Handler: w, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)
	<-ctx.Done()
	return errors.Join(w.Shutdown(context.Background()), server.Close())
}

type connectFunc func(context.Context, *wsrouter.DialOptions) (*wsrouter.Client, error)

// ask has the text engraved, by several workers in turn if necessary.
func ask(ctx context.Context, text string, show *bar, connect connectFunc) error {
	words, answers := strings.Fields(text), wsrouter.New(nil)
	wsrouter.Handle(answers, "word", func(_ *wsrouter.Context, n int) (string, error) {
		if n < 0 || n >= len(words) {
			return "", wsrouter.NewError("no such word")
		}
		return words[n], nil
	})
	client, err := connect(ctx, &wsrouter.DialOptions{Router: answers, Reconnect: &wsrouter.Reconnect{}})
	if err != nil {
		return err
	}
	defer client.Close()

	for job := (Job{Words: len(words)}); ; {
		conn := client.Conn()
		if err := follow(ctx, conn, &job, show); !lost(err) {
			return err
		}
		fmt.Fprintln(show, "the worker has gone, waiting for the next")
		select { // a worker that shuts down says so before it goes
		case <-conn.Context().Done():
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := client.Ready(ctx); err != nil {
			return err
		}
	}
}

// follow pulls the rest of the job. When ctx ends the job is canceled at the
// worker.
func follow(ctx context.Context, conn *wsrouter.Conn, job *Job, show *bar) error {
	for word, err := range wsrouter.Pull[string](ctx, conn, "engrave", *job) {
		if err != nil {
			fmt.Fprint(show, show.end)
			return err
		}
		job.Done++
		show.draw(job, word)
	}
	fmt.Fprint(show, show.end)
	if job.Done < job.Words { // a channel cannot report an error, it just ends
		return errors.New("the worker has given up")
	}
	return nil
}

// lost reports whether another worker may do the rest after this error.
func lost(err error) bool {
	var ws *wsrouter.WsError
	return errors.Is(err, net.ErrClosed) || errors.As(err, &ws) && ws.Code == wsrouter.CodeShutdown
}

type bar struct {
	io.Writer
	before, after, end string
}

// newBar returns a bar that redraws one line on a terminal, and writes a new line
// each time elsewhere.
func newBar(f *os.File) *bar {
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return &bar{f, "\r", "\x1b[K", "\n"}
	}
	return &bar{f, "", "\n", ""}
}

func (b *bar) draw(job *Job, word string) {
	full := strings.Repeat("━", 30*job.Done/max(job.Words, 1))
	fmt.Fprintf(b, "%s%-30s %d of %d %.20s%s", b.before, full, job.Done, job.Words, word, b.after)
}
