package soak

import (
	"encoding/json"
	"slices"
)

// This file is the other half of a talker: what it hears.

// listen reads until the end of the connection.
func (t *talker) listen() {
	defer close(t.dead)
	for {
		m, err := t.wire.receive()
		if err != nil {
			t.hearEnd(err)
			return
		}
		t.srv.received.Add(1)
		switch {
		case m.Re != 0 && m.More:
			t.hearItem(m)
		case m.Re != 0:
			t.hearAnswer(m)
		case m.ID != 0:
			t.hearQuestion(m)
		default:
			t.hearEvent(m)
		}
	}
}

// hearEnd allows for ends that were caused by the server's shutdown, or by ourselves.
func (t *talker) hearEnd(err error) {
	closing := t.srv.closing.Load()
	t.mu.Lock()
	leaving := t.leaving
	t.mu.Unlock()
	switch {
	case closing:
		if wrong := t.wire.isEnd(t.srv.code, err); wrong != nil && !leaving {
			t.fault("%s ended it wrongly: %v", t.srv.name, wrong)
		}
	case !leaving:
		t.fault("%s lost it: %v", t.srv.name, err)
	default:
		if wrong := t.wire.isEnd(0, err); wrong != nil {
			t.fault("%s took a goodbye wrongly: %v", t.srv.name, wrong)
		}
	}
}

// hearQuestion answers. All that servers ask for is to double a number.
func (t *talker) hearQuestion(m message) {
	var n int
	if err := json.Unmarshal(m.Data, &n); err != nil || m.Event != "double" {
		t.fault("was asked %s %s", m.Event, m.Data)
	}
	t.put(message{Event: m.Event, Re: m.ID, Data: encode(2 * n)})
}

func (t *talker) hearEvent(m message) {
	switch m.Event {
	case "news":
		t.hearNews(m)
	case "tick":
		var n int
		json.Unmarshal(m.Data, &n)
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.ticks++; n != t.ticks && !t.srv.closing.Load() {
			t.fault("tick %d came as the %d.", n, t.ticks)
		}
	case "count": // an item, on wires where items are events
		var it item
		json.Unmarshal(m.Data, &it)
		t.hearItem(message{Re: it.Token, Data: m.Data})
	case "said":
		t.deeds.add(said)
	case "hey":
	default:
		t.fault("heard %s %.100s", m.Event, m.Data)
	}
}

// hearNews checks the order of news: of what is watched, none may be missing.
func (t *talker) hearNews(m message) {
	var story struct { // news; their bytes look different on each wire
		From string
		N    int
	}
	if err := json.Unmarshal(m.Data, &story); err != nil {
		t.fault("news: %v in %.200s", err, m.Data)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	heard := t.news[story.From]
	if heard == nil { // about to be watched, or no longer
		return
	}
	if err := heard.next(story.N); err != nil {
		t.fault("news of %q at %s: %v", story.From, t.srv.name, err)
	}
	if story.From == "" {
		t.deeds.add(heardNews)
	} else {
		t.deeds.add(heardTopic)
	}
}

func (t *talker) hearItem(m message) {
	var it item
	json.Unmarshal(m.Data, &it)
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.open[m.Re]
	switch {
	case q == nil || q.event != "count" || it.Token != m.Re:
		t.fault("an item %s of stream %d, which is not there", m.Data, m.Re)
	default:
		if err := q.items.next(it.N); err != nil {
			t.fault("items of a stream: %v", err)
		}
	}
}

// failure is an exception's body.
type failure struct{ Status, Message, Code string }

// hearAnswer is called once for each question. Questions that are not handled
// concurrently are answered in order.
func (t *talker) hearAnswer(m message) {
	var f failure
	json.Unmarshal(m.Data, &f) // it is not a failure
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.open[m.Re]
	if q == nil {
		t.fault("request %d was answered, which was not asked or answered before: %s %.200s", m.Re, m.Event, m.Data)
		return
	}
	delete(t.open, m.Re)
	close(t.changed)
	t.changed = make(chan struct{})
	if q.ordered {
		if at := slices.Index(t.inOrder, m.Re); at > 0 && f.Code != "shutdown" {
			t.fault("request %d was answered before %d: %s", m.Re, t.inOrder[0], m.Data)
		} else {
			t.inOrder = slices.Delete(t.inOrder, at, at+1)
		}
	}
	if f.Status == "error" {
		t.hearFailure(q, f)
		return
	}
	t.deeds.add(answered)
	t.checkAnswer(q, m)
}

// checkAnswer is called with the lock held.
func (t *talker) checkAnswer(q *question, m message) {
	switch {
	case q.event == "count":
		if q.items.last+1 != q.count {
			t.fault("a stream of %d ended after %d", q.count, q.items.last+1)
		}
		t.deeds.add(streamed)
		return
	case q.fails || string(m.Data) != q.want:
		t.fault("%s was answered %q, not %q", q.event, m.Data, q.want)
	}
	switch q.event {
	case "burst":
		if string(encode(t.ticks)) != q.want && !t.srv.closing.Load() {
			t.fault("%d ticks before the answer %s", t.ticks, q.want)
		}
		t.ticks = 0
	case "join":
		if t.news[q.room] == nil && t.left[q.room] == q.left { // from now on
			t.news[q.room] = new(sequence)
		}
	}
}

// hearFailure is called with the lock held.
func (t *talker) hearFailure(q *question, f failure) {
	switch {
	case q.cancel && f.Code == "canceled":
		t.deeds.add(canceled)
	case q.fails:
		t.deeds.add(excepted)
	case !t.srv.closing.Load():
		t.fault("%s failed: %+v", q.event, f)
	}
}
