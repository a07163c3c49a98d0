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
// Both run in one process, in memory, or in two processes. If you stop the worker
// with Ctrl-C, the asker waits for the next worker and continues where it was.
//
//	go run .
//	go run . -serve 127.0.0.1:3001
//	go run . -job "Call me Ishmael" ws://127.0.0.1:3001/
//
// With -page the asker is a service with a web page where you enter the text. With
// -otlp the page, the asker and the worker send traces to a collector, and all they
// do for one text is one trace. Jaeger is such a collector, and shows the traces at
// http://127.0.0.1:16686.
//
//	go run . -otlp http://127.0.0.1:4318 -page 127.0.0.1:3000 ws://127.0.0.1:3001/
//	go run . -otlp http://127.0.0.1:4318 -serve 127.0.0.1:3001
//
// With -metrics a process serves metrics to Prometheus:
//
//	go run . -metrics 127.0.0.1:9464 -page 127.0.0.1:3000
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
	page := flag.String("page", "", "be the asker with a page, at this `address`")
	job := flag.String("job", "Some years ago, never mind how long precisely, I thought I would sail", "the `text` to engrave")
	collector := flag.String("otlp", "", "send traces to the collector at this `URL`, with OTLP over HTTP")
	numbers := flag.String("metrics", "", "serve metrics to Prometheus at this `address`")
	flag.Parse()
	log.SetFlags(0)
	slog.SetLogLoggerLevel(slog.LevelWarn) // both print who connects and disconnects themselves
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once

	worker, err := newService("rpc-worker", *collector)
	if err != nil {
		log.Fatal(err)
	}
	asker, err := newService("rpc-asker", *collector)
	if err != nil {
		log.Fatal(err)
	}
	w := newWorker(worker, os.Stderr)
	connect, url := w.Connect, flag.Arg(0)
	if url != "" {
		connect = func(ctx context.Context, opts *wsrouter.DialOptions) (*wsrouter.Client, error) {
			return wsrouter.Dial(ctx, url, opts)
		}
	}
	front := newFront(asker, connect)
	if *numbers != "" {
		shown := metrics(map[string]counted{"worker": w.counted, "asker": front.counted})
		go func() { log.Fatal(http.ListenAndServe(*numbers, shown)) }()
	}
	switch {
	case *addr != "":
		err = w.serve(ctx, *addr)
	case *page != "":
		err = front.serve(ctx, *page, *collector)
	default:
		err = ask(ctx, asker, *job, newBar(os.Stdout), connect)
	}
	err = errors.Join(err, w.Shutdown(context.Background()), asker.close(), worker.close())
	if err != nil {
		log.Fatal(err)
	}
}

// Job asks for a text to be engraved from word Done on.
type Job struct{ Done, Words int }

type worker struct {
	counted
	log  *log.Logger
	jobs sync.WaitGroup // the goroutines behind the streams
}

func newWorker(s *service, logs io.Writer) *worker {
	w := &worker{counted: s.counted(wsrouter.Options{}), log: log.New(logs, "worker: ", 0)}
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
			engraved <- strings.ToUpper(word) // will be received even if nobody wants it
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
	return serveHTTP(ctx, addr, "worker: listening on ws://%s/", w, w.Shutdown)
}

// serveHTTP serves until ctx ends, and then shuts down.
func serveHTTP(ctx context.Context, addr, words string, handler http.Handler, shutdown func(context.Context) error) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	log.Printf(words, listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)
	<-ctx.Done()
	return errors.Join(shutdown(context.Background()), server.Close())
}

type connectFunc func(context.Context, *wsrouter.DialOptions) (*wsrouter.Client, error)

// view shows somebody how a job proceeds.
type view interface {
	draw(job *Job, word string) error // one more word is done
	wait() error                      // the worker has disconnected
	end()
}

// ask has the text engraved, by several workers in turn if necessary.
func ask(ctx context.Context, s *service, text string, show view, connect connectFunc) error {
	words, answers := strings.Fields(text), s.router(wsrouter.Options{})
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
		if err := show.wait(); err != nil {
			return err
		}
		select { // a worker that shuts down says so before it disconnects
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
func follow(ctx context.Context, conn *wsrouter.Conn, job *Job, show view) error {
	defer show.end()
	for word, err := range wsrouter.Pull[string](ctx, conn, "engrave", *job) {
		if err != nil {
			return err
		}
		job.Done++
		if err := show.draw(job, word); err != nil {
			return err
		}
	}
	if job.Done < job.Words { // a channel cannot report an error, it is just closed
		return errors.New("the worker has given up")
	}
	return nil
}

// lost reports whether another worker may do the rest after this error.
func lost(err error) bool {
	var ws *wsrouter.WsError
	return errors.Is(err, net.ErrClosed) || errors.As(err, &ws) && ws.Code == wsrouter.CodeShutdown
}

// bar shows a job in a terminal.
type bar struct {
	io.Writer
	before, after, last string
}

// newBar returns a bar that redraws one line on a terminal, and writes a new line
// each time elsewhere.
func newBar(f *os.File) *bar {
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return &bar{f, "\r", "\x1b[K", "\n"}
	}
	return &bar{f, "", "\n", ""}
}

func (b *bar) draw(job *Job, word string) error {
	full := strings.Repeat("━", 30*job.Done/max(job.Words, 1))
	_, err := fmt.Fprintf(b, "%s%-30s %d of %d %.20s%s", b.before, full, job.Done, job.Words, word, b.after)
	return err
}

func (b *bar) wait() error {
	_, err := fmt.Fprintln(b, "the worker has gone, waiting for the next")
	return err
}

func (b *bar) end() { fmt.Fprint(b, b.last) }
