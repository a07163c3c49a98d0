package redisbroker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/wsrouter/wsrouter/broker"
	"github.com/wsrouter/wsrouter/payload"
)

// This file answers requests from other nodes. Every subscribed node must answer,
// even if it has nothing: the requester counts the answers.

// Requests that take time are answered off the goroutine that reads. Each kind has
// its own slots, so that a flood of one kind does not affect the others.
const (
	maxServing = 128 // requests of one kind at once; what they hold is also bounded by MaxMessage
	askedSize  = 8   // bytes that a request holds for each client it is for
)

// slots are those of one kind.
type slots struct {
	mu           sync.Mutex // guards what follows
	count, bytes int
}

// take reports false if there is no slot for a request that holds that many bytes.
func (s *slots) take(size, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count >= maxServing || s.count > 0 && s.bytes+size > limit {
		return false
	}
	s.count++
	s.bytes += size
	return true
}

func (s *slots) free(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count--
	s.bytes -= size
}

func (n *node) receiveRequest(data []byte) error {
	m, err := readMessage(data, n.b.opts.MaxMessage)
	if err != nil {
		return err
	}
	if m.uid == n.uid { // the router has already done or found its part
		return nil
	}
	n.b.received.Add(1)
	switch m.kind {
	case requestSockets, requestAllRooms, requestFetch:
		return n.tell(m)
	case requestJoin, requestLeave, requestDisconnect:
		return n.operate(m)
	case requestServerSideEmit:
		return n.serverSideEmit(m)
	case requestBroadcast:
		return n.callAll(m)
	}
	return nil // from a newer version
}

// tell answers who and what is here. Only one such answer is made at a time: with
// many clients it is large.
func (n *node) tell(m *message) error {
	if m.kind == requestFetch && !m.hasOpts {
		return errMalformed
	}
	n.serve(&n.telling, m, func() {
		select {
		case n.making <- struct{}{}:
		case <-n.ctx.Done():
			return
		}
		defer func() { <-n.making }()
		switch m.kind {
		case requestSockets:
			n.answer(m, idsAnswer{m.requestID, n.ids(broker.Selection{Rooms: m.rooms})})
		case requestAllRooms:
			n.answer(m, roomsAnswer{m.requestID, n.rooms()})
		case requestFetch:
			n.answer(m, fetchAnswer{m.requestID, n.sockets(m.to)})
		}
	})
	return nil
}

// answer publishes an answer. Requests without an id want none.
func (n *node) answer(m *message, v any) {
	if m.requestID != "" {
		n.b.enqueueJSON(answer, n.answersTo(m), v) // the requester has a timeout
	}
}

// answersTo returns the channel for the answers to a request.
func (n *node) answersTo(m *message) string {
	if n.b.opts.PublishOnSpecificResponseChannel && m.uid != "" && m.kind != requestServerSideEmit {
		return n.channels.responseTo(m.uid)
	}
	return n.channels.response // always used for a serverSideEmit
}

// operate does what a request says, including the form that old nodes send: for a
// single socket, which is answered by the node that has it.
func (n *node) operate(m *message) error {
	op := &broker.Operation{To: m.to, Rooms: m.rooms}
	if !m.hasOpts {
		if m.sid == "" {
			return errMalformed
		}
		op.To.Rooms, op.Rooms = []string{m.sid}, []string{m.room}
		if n.of.HasRoom(m.sid) {
			defer n.answer(m, doneAnswer{m.requestID})
		}
	}
	switch m.kind {
	case requestJoin:
		op.Kind = broker.OpJoin
	case requestLeave:
		op.Kind = broker.OpLeave
	case requestDisconnect:
		op.Kind, op.Transport = broker.OpDisconnect, m.close
	}
	n.of.Apply(op) // if some cannot join, that is their problem
	return nil
}

func (n *node) ids(s broker.Selection) []string {
	ids := []string{}
	for _, m := range n.of.Members(s) {
		ids = append(ids, m.ID)
	}
	return ids
}

// rooms returns the rooms of this node, including ids, as in Socket.IO. It never
// returns nil: Node.js takes null for no answer.
func (n *node) rooms() []string {
	return append(slices.AppendSeq([]string{}, n.of.Rooms()), n.ids(broker.Selection{})...)
}

// remoteSocket is what other nodes see of a connection.
type remoteSocket struct {
	ID        string          `json:"id"`
	Handshake handshake       `json:"handshake"`
	Rooms     []string        `json:"rooms"`
	Data      json.RawMessage `json:"data"`
}

// handshake is what they see of the HTTP request: nothing that could authorize
// anybody.
type handshake struct {
	Headers map[string]string `json:"headers"`
	Time    string            `json:"time"`
	Address string            `json:"address"`
	Xdomain bool              `json:"xdomain"`
	Secure  bool              `json:"secure"`
	Issued  int64             `json:"issued"`
	URL     string            `json:"url"`
	Query   struct{}          `json:"query"`
	Auth    struct{}          `json:"auth"`
}

func (n *node) sockets(s broker.Selection) []remoteSocket {
	members := n.of.Members(s)
	sockets := make([]remoteSocket, 0, len(members))
	for _, m := range members {
		socket := remoteSocket{ID: m.ID, Handshake: handshakeOf(m.Request), Rooms: append([]string{m.ID}, m.Rooms...), Data: m.Data}
		if socket.Data == nil {
			socket.Data = json.RawMessage("{}") // as in Socket.IO
		}
		sockets = append(sockets, socket)
	}
	return sockets
}

func handshakeOf(req *http.Request) handshake {
	h := handshake{Headers: map[string]string{}}
	if req == nil {
		return h
	}
	for _, name := range []string{"Origin", "User-Agent"} {
		if v := req.Header.Get(name); v != "" {
			h.Headers[strings.ToLower(name)] = v
		}
	}
	if req.Host != "" {
		h.Headers["host"] = req.Host
	}
	h.Address = req.RemoteAddr
	if host, _, err := net.SplitHostPort(req.RemoteAddr); err == nil {
		h.Address = host
	}
	h.Xdomain, h.Secure = req.Header.Get("Origin") != "", req.TLS != nil
	if req.URL != nil {
		h.URL = req.URL.Path
	}
	return h
}

// serve runs what takes time off the goroutine that reads. If there is no slot, it
// counts the request, does not answer it, and reports false.
func (n *node) serve(kind *slots, m *message, fn func()) bool {
	if !kind.take(m.size, n.b.opts.MaxMessage) {
		n.b.dropped.Add(1)
		return false
	}
	n.working.Go(func() {
		defer kind.free(m.size)
		fn()
	})
	return true
}

// serverSideEmit asks Options.ServerSideEmit.
func (n *node) serverSideEmit(m *message) error {
	event, args, ok := m.event()
	if !ok {
		return errMalformed
	}
	n.serve(&n.emitting, m, func() {
		result, err := n.askServer(event, args)
		if err != nil {
			n.b.opts.Logger.Error("redisbroker: ServerSideEmit failed", "err", err)
			return
		}
		n.answer(m, emitAnswer{requestServerSideEmit, m.requestID, result})
	})
	return nil
}

// askServer returns the answer as JSON.
func (n *node) askServer(event string, args []payload.Value) (answer json.RawMessage, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	if n.b.opts.ServerSideEmit == nil {
		return json.RawMessage("null"), nil
	}
	texts := make([]json.RawMessage, len(args))
	for i, arg := range args {
		texts[i], _ = payload.AppendJSON(nil, arg)
	}
	result, err := n.b.opts.ServerSideEmit(n.of.Name(), event, texts)
	if err != nil {
		return nil, err
	}
	return payload.AppendJSON(nil, result)
}

// callAll sends a request to each selected client, says how many there are, and
// passes on each answer as it arrives.
func (n *node) callAll(m *message) error {
	event, args, ok := m.event()
	if !ok || !m.hasOpts || m.requestID == "" || !m.isFor(n.of.Name()) {
		return errMalformed
	}
	ctx, cancel := context.WithTimeout(n.ctx, n.patience(m))
	asked, answers := n.of.Call(ctx, m.to, event, args)
	n.answer(m, countAnswer{answerClientCount, m.requestID, asked})
	m.size += asked * askedSize
	served := asked > 0 && n.serve(&n.calling, m, func() {
		defer cancel()
		for given := range answers {
			n.ack(m, given)
		}
	})
	if !served {
		cancel()
	}
	return nil
}

// patience returns how long clients have to answer: as long as the requester waits,
// but no longer than we would.
func (n *node) patience(m *message) time.Duration {
	if m.timeout == 0 {
		return n.b.opts.RequestTimeout
	}
	return min(m.timeout, n.b.opts.RequestTimeout)
}

func (n *node) ack(m *message, given payload.Value) {
	data, err := appendAck(nil, m.requestID, given)
	if err != nil { // Node.js cannot take the client's answer
		data, _ = appendAck(nil, m.requestID, payload.Value{})
	}
	n.b.enqueueBytes(answer, n.answersTo(m), data)
}

// question is a request of ours that waits for answers.
type question struct {
	members []broker.Member
	left    int           // answers still to come
	all     chan struct{} // closed when there are none
}

// Find implements [broker.Finder].
func (n *node) Find(ctx context.Context, s broker.Selection) ([]broker.Member, error) {
	ctx, cancel := context.WithTimeout(ctx, n.b.opts.RequestTimeout)
	defer cancel()
	if n.ctx.Err() != nil || n.b.health.isDown(publishing) || n.b.health.isDown(n) {
		return nil, fmt.Errorf("%w: Redis is unreachable", broker.ErrUnreached)
	}
	others, uncounted := n.others(ctx)
	if others == 0 {
		return nil, uncounted
	}
	id := newID()
	q := &question{left: others, all: make(chan struct{})}
	n.mu.Lock()
	n.questions[id] = q
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.questions, id)
	}()
	ask := &ourRequest{UID: n.uid, RequestID: id, Type: requestFetch, Opts: optsOf(s)}
	if err := n.b.enqueueJSON(request, n.channels.request, ask); err != nil {
		return nil, err
	}
	select {
	case <-q.all:
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if q.left > 0 {
		return q.members, fmt.Errorf("%w: %d of %d did not answer", broker.ErrUnreached, q.left, others)
	}
	return q.members, uncounted
}

// others counts the other nodes of the namespace. In a Redis Cluster each server
// knows only its own subscribers. Servers that do not answer are left out; the
// error then says so.
func (n *node) others(ctx context.Context) (count int, err error) {
	client := n.b.conn(ctx)
	if client == nil {
		return 0, broker.ErrUnreached
	}
	deadline, _ := ctx.Deadline() // some of the time is for the answers
	ctx, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
	defer cancel()
	type result struct {
		count int
		err   error
	}
	servers := client.Nodes()
	results := make(chan result, len(servers))
	for addr, server := range servers {
		go func() {
			count, err := countSubscribers(ctx, server, n.channels.request)
			if err != nil {
				err = fmt.Errorf("%w: counting at %s: %w", broker.ErrUnreached, addr, err)
			}
			results <- result{count, err}
		}()
	}
	for range servers {
		select {
		case r := <-results:
			count += r.count
			err = errors.Join(err, r.err)
		case <-ctx.Done(): // servers that do not heed it either
			return max(count-1, 0), errors.Join(err, broker.ErrUnreached)
		}
	}
	return max(count-1, 0), err // without this one
}

// countSubscribers tries twice: the connection may have been lost since its last
// use.
func countSubscribers(ctx context.Context, server rueidis.Client, channel string) (int, error) {
	counts, err := server.Do(ctx, server.B().PubsubNumsub().Channel(channel).Build()).ToArray()
	if _, refused := rueidis.IsRedisErr(err); err != nil && !refused {
		counts, err = server.Do(ctx, server.B().PubsubNumsub().Channel(channel).Build()).ToArray()
	}
	if err != nil {
		return 0, err
	}
	if len(counts) != 2 {
		return 0, errMalformed
	}
	count, err := counts[1].AsInt64()
	return int(count), err
}

// receiveAnswer passes an answer to its question. Answers to nothing are ignored.
func (n *node) receiveAnswer(data []byte) error {
	n.mu.Lock()
	asking := len(n.questions) > 0
	n.mu.Unlock()
	if !asking { // most answers are for others
		return nil
	}
	m, err := readMessage(data, n.b.opts.MaxMessage)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	q := n.questions[m.requestID]
	if q == nil || q.left == 0 || !m.hasList {
		return nil
	}
	for _, found := range m.sockets {
		if found.Rooms = slices.DeleteFunc(found.Rooms, func(room string) bool { return room == found.ID }); found.Rooms != nil {
			slices.Sort(found.Rooms)
		}
		q.members = append(q.members, found)
	}
	if q.left--; q.left == 0 {
		close(q.all)
	}
	return nil
}
