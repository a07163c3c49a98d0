package socketio

import "time"

// leavers are sessions whose clients have said goodbye with a POST a moment ago,
// which may have overtaken their last poll. The zero value has none. The lock of
// whoever owns it guards it.
type leavers struct {
	ids   map[string]struct{}
	queue []leaver // from the first; it may have some that are not in ids any more
}

type leaver struct {
	sid string
	at  time.Time
}

const (
	// overtaken is how long a poll may come after the goodbye.
	overtaken = 5 * time.Second

	// maxLeavers is how many are remembered. The polls of those who left before are
	// answered that there is no such session, as all others.
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

// take reports whether it is there, and takes it out.
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
