package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// measure has n nodes do the work, and returns what it took.
func measure(w work, n int, lasts time.Duration) (r result, err error) {
	redis, err := startRedis()
	if err != nil {
		return r, err
	}
	defer redis.stop()
	nodes := make([]*process, n)
	for i := range nodes {
		job := job{Redis: redis.addr, Work: w, Node: i, Nodes: n, Lasts: lasts}
		if nodes[i], err = startNode(job); err != nil {
			return r, err
		}
		defer nodes[i].stop()
	}
	for _, node := range nodes {
		if err := node.hears("ready"); err != nil {
			return r, err
		}
	}
	before, err := redis.cpu()
	if err != nil {
		return r, err
	}
	return redis.collect(w, nodes, before)
}

// collect lets the nodes work, and divides what that took by what they did.
func (redis *redisServer) collect(w work, nodes []*process, before time.Duration) (r result, err error) {
	for _, node := range nodes {
		fmt.Fprintln(node.in, "go")
	}
	for _, node := range nodes {
		if err := node.hears("done"); err != nil {
			return r, err
		}
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) { // until all has arrived
		all, did, delivered, err := reports(nodes)
		if err != nil {
			return r, err
		}
		want := map[string]int64{"room": int64(len(nodes) * members), "user": 1}[w.Kind] * did
		if delivered < want && time.Since(began) < 20*time.Second {
			continue
		}
		if delivered != want {
			return r, fmt.Errorf("%s: %d deliveries of %d messages, want %d", w.Kind, delivered, did, want)
		}
		after, err := redis.cpu()
		if err != nil {
			return r, err
		}
		r.sender = all[0] / time.Duration(did)
		for _, cpu := range all[1:] {
			r.other += cpu / time.Duration(did) / time.Duration(len(all)-1)
		}
		r.redis = (after - before) / time.Duration(did)
		return r, nil
	}
}

// reports asks the nodes for the processor time that they have used, and adds up
// what they did.
func reports(nodes []*process) (cpu []time.Duration, did, delivered int64, err error) {
	for _, node := range nodes {
		fmt.Fprintln(node.in, "report")
		line, err := node.out.ReadBytes('\n')
		if err != nil {
			return nil, 0, 0, err
		}
		var one report
		if err := json.Unmarshal(line, &one); err != nil {
			return nil, 0, 0, err
		}
		cpu = append(cpu, one.CPU)
		did += one.Did
		delivered += one.Delivered
	}
	return cpu, did, delivered, nil
}

// process is a node, which is told what to do by lines.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startNode(j job) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), nodeVariable+"="+string(raw), "GOMAXPROCS=1")
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.cmd.Start()
}

func (p *process) hears(word string) error {
	line, err := p.out.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != word {
		return fmt.Errorf("a node said %q, want %q (%v)", line, word, err)
	}
	return nil
}

// stop lets the node end: its input does.
func (p *process) stop() {
	p.in.Close()
	p.cmd.Wait()
}

type redisServer struct {
	addr   string
	cmd    *exec.Cmd
	client rueidis.Client
}

func startRedis() (*redisServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &redisServer{addr: l.Addr().String()}
	l.Close()
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w; on Debian: apt-get install redis-server", err)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		s.client, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.addr}, DisableCache: true})
		if err == nil {
			return s, nil
		}
		if time.Since(begin) > 10*time.Second {
			s.cmd.Process.Kill()
			return nil, err
		}
	}
}

func (s *redisServer) stop() {
	s.client.Close()
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// cpu is what the server has used, by the account of its operating system.
func (s *redisServer) cpu() (total time.Duration, err error) {
	info, err := s.client.Do(context.Background(), s.client.B().Info().Section("cpu").Build()).ToString()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "used_cpu_sys" && name != "used_cpu_user" {
			continue
		}
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(seconds * float64(time.Second))
	}
	return total, nil
}
