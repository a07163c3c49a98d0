package wsrouter

import (
	"runtime"
	"slices"
)

// A broadcast is encoded once for each wire format and queued for everyone. It
// is not the emitter who writes it then, who would be kept by a thousand system
// calls, nor a goroutine for each recipient, which would cost as much again: a
// few goroutines do that, each for a part of the connections, and none waits for
// a client. What others emit meanwhile goes with it.

// broadcast queues each connection's frame.
func broadcast(conns []*Conn, frames map[Format]Frame, mode sendMode) {
	var f Frame
	var format Format
	idle := conns[:0] // those whose writers we are
	for _, c := range conns {
		if c.format != format {
			format, f = c.format, frames[c.format]
		}
		if c.queueFrame(f, mode) {
			idle = append(idle, c)
		}
	}
	writeAll(idle)
}

// queueFrame is sendFrame, but leaves it to the caller to write if it reports
// true.
func (c *Conn) queueFrame(f Frame, mode sendMode) (writer bool) {
	l := c.link
	l.mu.Lock()
	idle := !l.writing
	l.writing = true // so that no writer is started
	err := c.sendFrameLocked(f, mode)
	writer = idle && len(l.out) > 0 && !l.gone
	if idle {
		l.writing = writer
	}
	l.mu.Unlock()
	l.sent(err)
	return writer
}

// minPart is how many connections are worth a goroutine.
const minPart = 16

func writeAll(conns []*Conn) {
	if len(conns) == 0 {
		return
	}
	parts := min(runtime.GOMAXPROCS(0), (len(conns)+minPart-1)/minPart)
	for part := range slices.Chunk(conns, (len(conns)+parts-1)/parts) {
		go func() {
			for _, c := range part {
				c.link.writeQueued()
			}
		}()
	}
}
