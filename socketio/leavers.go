package socketio

import "time"

// leavers remembers sessions whose clients have just said goodbye with a POST that
// may have overtaken their last poll. The zero value is empty. The lock of its
// owner guards it.
type leavers struct {
	ids   map[string]struct{}
	queue []leaver // oldest first; some may no longer be in ids
}

type leaver struct {
	sid string
	at  time.Time
}

const (
	// overtaken is how long after the goodbye a poll may still arrive.
	overtaken = 5 * time.Second

	// maxLeavers is how many are remembered. If there are more, the polls of the
	// oldest are told that there is no such session, like any others.
	maxLeavers = 4096
)

func (l *leavers) add(sid string, now time.Time) {
	l.forget(now)
	if len(l.queue) == maxLeavers {
		l.drop(1)
	}
	if l.ids == nil {
		l.ids = make(map[string]struct{})
	}
	l.ids[sid] = struct{}{}
	l.queue = append(l.queue, leaver{sid, now})
}

// take reports whether sid is remembered, and forgets it.
func (l *leavers) take(sid string, now time.Time) bool {
	l.forget(now)
	_, ok := l.ids[sid]
	delete(l.ids, sid)
	return ok
}

// forget drops those whose time is over.
func (l *leavers) forget(now time.Time) {
	n := 0
	for n < len(l.queue) && now.Sub(l.queue[n].at) > overtaken {
		n++
	}
	l.drop(n)
}

func (l *leavers) drop(n int) {
	for _, first := range l.queue[:n] {
		delete(l.ids, first.sid)
	}
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		*l = leavers{}
	}
}
