package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/wsroutertest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// inMemory runs a test with a worker that writes its log into the buffer, which may
// be read once the worker has shut down.
func inMemory(t *testing.T, fn func(t *testing.T, w *worker, logs *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		w := newWorker(untraced, &logs)
		fn(t, w, &logs)
		require.NoError(t, w.Shutdown(context.Background()))
	})
}

// untraced is a service without a collector.
var untraced, _ = newService("", "")

// plain is what newBar returns for a file that is not a terminal.
func plain(w io.Writer) *bar { return &bar{w, "", "\n", ""} }

func TestJob(t *testing.T) {
	inMemory(t, func(t *testing.T, w *worker, logs *bytes.Buffer) {
		var out bytes.Buffer
		begin := time.Now()
		require.NoError(t, ask(t.Context(), untraced, "Call me Ishmael", plain(&out), w.Connect))
		require.Equal(t, 13*50*time.Millisecond, time.Since(begin), "13 letters")
		require.Equal(t, ""+
			"━━━━━━━━━━                     1 of 3 CALL\n"+
			"━━━━━━━━━━━━━━━━━━━━           2 of 3 ME\n"+
			"━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 3 of 3 ISHMAEL\n", out.String())
		require.Equal(t, "worker: done with 3 words\n", logs.String())
	})
}

func TestNoWords(t *testing.T) {
	inMemory(t, func(t *testing.T, w *worker, logs *bytes.Buffer) {
		var out bytes.Buffer
		require.NoError(t, ask(t.Context(), untraced, " ", plain(&out), w.Connect))
		require.Empty(t, out.String())
	})
}

func TestCancelStopsTheWorker(t *testing.T) {
	inMemory(t, func(t *testing.T, w *worker, logs *bytes.Buffer) {
		ctx, cancel := context.WithTimeout(t.Context(), 325*time.Millisecond) // in the middle of "Ishmael"
		defer cancel()
		var out bytes.Buffer
		require.ErrorIs(t, ask(ctx, untraced, "Call me Ishmael", plain(&out), w.Connect), context.DeadlineExceeded)
		require.Contains(t, out.String(), "2 of 3 ME\n")
		w.jobs.Wait()
		require.Equal(t, "worker: canceled after word 2 of 3: canceled: context canceled\n", logs.String())
	})
}

func TestLeavingTheLoopStopsTheWorker(t *testing.T) {
	inMemory(t, func(t *testing.T, w *worker, logs *bytes.Buffer) {
		client := connect(t, w, nil)
		for _, err := range wsrouter.Pull[string](t.Context(), client, "engrave", Job{0, 100}) {
			require.NoError(t, err)
			break
		}
		w.jobs.Wait()
		require.Contains(t, logs.String(), "worker: canceled after word 1 of 100: ")
	})
}

// TestSlowAsker checks that the worker is never further ahead than Pull's credit.
func TestSlowAsker(t *testing.T) {
	inMemory(t, func(t *testing.T, w *worker, logs *bytes.Buffer) {
		fetched, pulled := -1, 0
		client := connect(t, w, &fetched)
		for _, err := range wsrouter.Pull[string](t.Context(), client, "engrave", Job{0, 100}) {
			require.NoError(t, err)
			pulled++
			time.Sleep(time.Hour)
			synctest.Wait()
			require.LessOrEqual(t, fetched, pulled+16+1, "a channel's send and a word in work")
		}
		require.Equal(t, 100, pulled)
	})
}

// connect connects an asker whose words are all "x". It stores the number of the
// last word that was fetched.
func connect(t *testing.T, w *worker, fetched *int) *wsroutertest.Client {
	answers := wsrouter.New(nil)
	wsrouter.Handle(answers, "word", func(_ *wsrouter.Context, n int) (string, error) {
		if fetched != nil {
			*fetched = n
		}
		return "x", nil
	})
	return wsroutertest.Connect(t, w.Router, &wsrouter.DialOptions{Router: answers})
}

func TestNetworkIsCut(t *testing.T) {
	inMemory(t, func(t *testing.T, w *worker, logs *bytes.Buffer) {
		var out bytes.Buffer
		err := ask(t.Context(), untraced, "Call me Ishmael", plain(&out),
			func(ctx context.Context, opts *wsrouter.DialOptions) (*wsrouter.Client, error) {
				client, err := w.Connect(ctx, opts)
				time.AfterFunc(325*time.Millisecond, client.Abort)
				return client, err
			})
		require.NoError(t, err)
		require.Equal(t, ""+
			"━━━━━━━━━━                     1 of 3 CALL\n"+
			"━━━━━━━━━━━━━━━━━━━━           2 of 3 ME\n"+
			"the worker has gone, waiting for the next\n"+
			"━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 3 of 3 ISHMAEL\n", out.String())
		w.jobs.Wait()
		require.Contains(t, logs.String(), "worker: canceled after word 2 of 3: wsrouter: closed (peer): code 1006")
	})
}

func TestWorkerShutsDown(t *testing.T) {
	inMemory(t, func(t *testing.T, w *worker, logs *bytes.Buffer) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var out bytes.Buffer
		time.AfterFunc(325*time.Millisecond, func() { w.Shutdown(ctx) })
		require.ErrorIs(t, ask(ctx, untraced, "Call me Ishmael", plain(&out), w.Connect), context.DeadlineExceeded)
		require.Equal(t, 1, strings.Count(out.String(), "the worker has gone"))
		w.jobs.Wait()
		require.Equal(t, "worker: canceled after word 2 of 3: shutting down\n", logs.String())
	})
}

// TestAskerIsWary plays a worker that asks for a word that does not exist, and
// gives up.
func TestAskerIsWary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := wsrouter.New(nil)
		wsrouter.HandleStream(w, "engrave", func(c *wsrouter.Context, job Job) (<-chan string, error) {
			for _, n := range []int{-1, job.Words} {
				_, err := wsrouter.Call[string](c.Context(), c.Conn(), "word", n)
				require.EqualError(t, err, "no such word")
			}
			return nil, nil
		})
		require.EqualError(t, ask(t.Context(), untraced, "Call", plain(io.Discard), w.Connect), "the worker has given up")
	})
}

func TestBarOnATerminal(t *testing.T) {
	inMemory(t, func(t *testing.T, w *worker, logs *bytes.Buffer) {
		var out bytes.Buffer
		require.NoError(t, ask(t.Context(), untraced, "Call me", &bar{&out, "\r", "\x1b[K", "\n"}, w.Connect))
		require.Equal(t, ""+
			"\r━━━━━━━━━━━━━━━                1 of 2 CALL\x1b[K"+
			"\r━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 2 of 2 ME\x1b[K\n", out.String())
	})
}

// process is this program, run with arguments. Its output is read line by line.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // kills the process, which ends its output
	t.Cleanup(cancel)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = w, w
	require.NoError(t, cmd.Start())
	require.NoError(t, w.Close())
	return &process{t, cmd, bufio.NewScanner(r)}
}

// expect waits for a line with the text, and returns what follows in that line.
func (p *process) expect(text string) string {
	p.t.Helper()
	var seen []string
	for p.lines.Scan() {
		seen = append(seen, p.lines.Text())
		if _, after, ok := strings.Cut(p.lines.Text(), text); ok {
			return after
		}
	}
	require.Failf(p.t, "no such line", "%q is not in:\n%s", text, strings.Join(seen, "\n"))
	return ""
}

// interrupt sends what Ctrl-C sends.
func (p *process) interrupt() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
}

// TestProcesses does what the package comment shows: Ctrl-C for a worker, which
// another replaces, and for the asker.
func TestProcesses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("os.Process.Signal cannot send an interrupt on Windows")
	}
	program := filepath.Join(t.TempDir(), "rpc")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)

	first := start(t, program, "-serve", "127.0.0.1:0")
	url := first.expect("listening on ")
	asker := start(t, program, "-job", strings.Repeat("word ", 1000), url)
	asker.expect(" 2 of 1000 WORD")
	first.interrupt()
	first.expect("worker: canceled after word ")
	require.NoError(t, first.cmd.Wait())
	asker.expect("the worker has gone")

	addr := strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/")
	second := start(t, program, "-serve", addr)
	second.expect("listening on ")
	asker.expect(" of 1000 WORD")
	asker.interrupt()
	require.Contains(t, second.expect("worker: canceled after word "), "canceled")
	asker.expect("context canceled")
	require.Equal(t, 1, exitCode(asker.cmd.Wait()))
	second.interrupt()
	require.NoError(t, second.cmd.Wait())
}

func exitCode(err error) int {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	return 0
}
