package redisbroker

import (
	"sync"
	"time"
)

// health knows which parts of a broker cannot reach Redis. While any cannot, Redis
// counts as unreachable.
type health struct {
	opts *Options

	telling sync.Mutex // held while the user is told, so that reports arrive in order

	mu    sync.Mutex // guards what follows
	parts map[any]error
	since time.Time // when the first of them failed
}

// The parts other than nodes.
const (
	connecting = "connecting"
	publishing = "publishing"
)

func newHealth(opts *Options) *health {
	return &health{opts: opts, parts: make(map[any]error)}
}

func (h *health) down(part any, err error) { h.change(part, err) }

func (h *health) up(part any) { h.change(part, nil) }

func (h *health) change(part any, err error) {
	h.telling.Lock()
	defer h.telling.Unlock()
	h.mu.Lock()
	was := len(h.parts) > 0
	if err == nil {
		delete(h.parts, part)
	} else {
		h.parts[part] = err
	}
	is := len(h.parts) > 0
	away := time.Since(h.since)
	if is && !was {
		h.since = time.Now()
	}
	h.mu.Unlock()
	switch {
	case is && !was:
		h.opts.Logger.Warn("redisbroker: Redis is unreachable, and so are other nodes", "err", err)
		h.tell(err)
	case was && !is:
		h.opts.Logger.Info("redisbroker: Redis is reachable again", "after", away)
		h.tell(nil)
	}
}

func (h *health) tell(err error) {
	if h.opts.OnState != nil {
		h.opts.OnState(err)
	}
}

func (h *health) isDown(part any) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.parts[part] != nil || h.parts[connecting] != nil
}

func (h *health) away() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.parts) == 0 {
		return 0
	}
	return max(time.Since(h.since), 1)
}
