package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wsrouter/wsrouter/internal/interop/process"
)

// patience is how long to wait for something that should come. Nodes wait longer
// for each other and for Redis, so a node that does not answer fails the test.
const patience = time.Minute

// script is a process that obeys commands, see node/wire.mjs.
type script struct {
	*process.Process
	name string
	tell func(said) // takes everything it says that is not an answer

	writing sync.Mutex // guards Stdin: answers are read even while that is full
	mu      sync.Mutex // guards what follows
	last    int
	waiting map[int]chan said

	ended chan struct{} // closed when it says no more
}

// said is a line from a process: the answer to a command, or a client's event.
type said struct {
	ID    int             `json:"id"`
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`

	Client string          `json:"client"`
	Event  string          `json:"event"`
	Args   json.RawMessage `json:"args"`
}

// order is a command without its name.
type order map[string]any

// converse begins to talk with a process.
func converse(t *testing.T, name string, p *process.Process, tell func(said)) *script {
	t.Helper()
	s := &script{Process: p, name: name, tell: tell, waiting: make(map[int]chan said), ended: make(chan struct{})}
	go s.listen()
	t.Cleanup(func() {
		s.Stdin.Close()
		<-s.ended
	})
	return s
}

func (s *script) listen() {
	defer close(s.ended)
	for {
		var line said
		if err := s.Stdout.Decode(&line); err != nil {
			io.Copy(io.Discard, s.Stdout.Buffered())
			return
		}
		if line.Client != "" {
			s.tell(line)
			continue
		}
		s.mu.Lock()
		answer := s.waiting[line.ID]
		delete(s.waiting, line.ID)
		s.mu.Unlock()
		answer <- line
	}
}

// refusal is the error of a command, with the value that came with it.
type refusal struct {
	text  string
	value json.RawMessage
}

func (r *refusal) Error() string { return r.text }

// try gives a command, waits until it is carried out, and stores its value.
func (s *script) try(command string, o order, value any) error {
	return s.begin(command, o)(value)
}

// begin gives a command. wait waits until it is carried out, and stores its value.
func (s *script) begin(command string, o order) (wait func(value any) error) {
	answer := make(chan said, 1)
	s.mu.Lock()
	s.last++
	line := order{"id": s.last, "do": command}
	for key, v := range o {
		line[key] = v
	}
	s.waiting[s.last] = answer
	s.mu.Unlock()
	err := s.write(line)
	return func(value any) error {
		if err != nil {
			return fmt.Errorf("%s: %s: %w", s.name, command, err)
		}
		timeout := time.NewTimer(patience)
		defer timeout.Stop()
		select {
		case a := <-answer:
			if a.Error != "" {
				return &refusal{a.Error, a.Value}
			}
			if value == nil {
				return nil
			}
			return json.Unmarshal(a.Value, value)
		case <-s.ended:
			return fmt.Errorf("%s: %s: it has ended", s.name, command)
		case <-timeout.C:
			return fmt.Errorf("%s: %s: no answer for %v", s.name, command, patience)
		}
	}
}

func (s *script) write(line order) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return json.NewEncoder(s.Stdin).Encode(line)
}

// do gives a command that must succeed.
func (s *script) do(t *testing.T, command string, o order, value any) {
	t.Helper()
	err := s.try(command, o, value)
	if r := (*refusal)(nil); errors.As(err, &r) {
		require.NoError(t, err, "%s: %s, with %s", s.name, command, r.value)
	}
	require.NoError(t, err)
}
