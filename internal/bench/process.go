package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wsrouter/wsrouter/internal/bench/load"
)

// allowFiles lets this process, and those it starts, open that many files: each
// connection is one at either end.
func allowFiles(need uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	hard := limit.Max
	limit.Cur, limit.Max = max(limit.Cur, need), max(limit.Max, need)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d open files are needed, and ulimit -Hn is %d: %w", need, hard, err)
	}
	return nil
}

// process is a server or a load generator that obeys commands, one a line.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  *bufio.Scanner
	stderr bytes.Buffer
}

func start(env []string, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = &p.stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.lines = bufio.NewScanner(out)
	return p, p.cmd.Start()
}

// patience is longer than any command takes, not counting the time for which a
// command asks.
const patience = 2 * time.Minute

// line waits for the next line that the process prints.
func (p *process) line() (string, error) { return p.lineWithin(patience) }

func (p *process) lineWithin(limit time.Duration) (string, error) {
	timer := time.AfterFunc(limit, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	if p.lines.Scan() {
		return p.lines.Text(), nil
	}
	p.cmd.Wait()
	return "", fmt.Errorf("%s ended: %v\n%s", strings.Join(p.cmd.Args[1:], " "), p.cmd.ProcessState, lastLines(p.stderr.String()))
}

func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(len(lines)-15, 0):], "\n")
}

// stop closes the input of the process, which ends it, and kills it if it does not
// end.
func (p *process) stop() {
	p.in.Close()
	timer := time.AfterFunc(3*time.Second, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	for p.lines.Scan() {
	}
	p.cmd.Wait()
}

// served is a running server.
type served struct {
	*process
	port int
}

func startServer(self string, s server, flags ...string) (*served, error) {
	program, args, err := s.command(self, flags...)
	if err != nil {
		return nil, err
	}
	p, err := start([]string{"GOMAXPROCS=" + strconv.Itoa(runtime.NumCPU()), "NODE_ENV=production"}, program, args...)
	if err != nil {
		return nil, err
	}
	line, err := p.line()
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(strings.TrimPrefix(line, "port "))
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s printed %q, not its port", s.name, line)
	}
	return &served{p, port}, nil
}

// tell sends the server a command, and waits until it has been carried out.
func (s *served) tell(command string) error {
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		return err
	}
	line, err := s.line()
	if err == nil && line != "ok" {
		err = fmt.Errorf("%s: %s", command, line)
	}
	return err
}

// resident returns the server's resident bytes after a garbage collection.
func (s *served) resident(wait time.Duration) (int, error) {
	if err := s.tell("gc"); err != nil {
		return 0, err
	}
	time.Sleep(wait)
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseResident(rollup)
}

// parseResident finds the resident set in /proc/PID/smaps_rollup, which counts
// pages; VmRSS in /proc/PID/status is an estimate.
func parseResident(rollup []byte) (int, error) {
	for line := range strings.Lines(string(rollup)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Rss:" && fields[2] == "kB" {
			kb, err := strconv.Atoi(fields[1])
			return kb << 10, err
		}
	}
	return 0, errors.New("no Rss in smaps_rollup")
}

// loader is the load process of one server.
type loader struct {
	*process
	to      *served
	dialect string
}

func startLoader(self string, to *served, dialect string) (*loader, error) {
	p, err := start([]string{"GOGC=400"}, self, "load")
	return &loader{p, to, dialect}, err
}

func (l *loader) do(cmd load.Command) (load.Result, error) {
	cmd.PID, cmd.Port, cmd.Dialect = l.to.cmd.Process.Pid, l.to.port, l.dialect
	line, err := json.Marshal(cmd)
	if err != nil {
		return load.Result{}, err
	}
	if _, err := fmt.Fprintf(l.in, "%s\n", line); err != nil {
		return load.Result{}, err
	}
	text, err := l.lineWithin(patience + cmd.Warm + cmd.For)
	if err != nil {
		return load.Result{}, err
	}
	var reply load.Reply
	if err := json.Unmarshal([]byte(text), &reply); err != nil {
		return load.Result{}, err
	}
	if reply.Error != "" {
		return load.Result{}, errors.New(reply.Error)
	}
	return reply.Result, nil
}
