package soak

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// pollingWire is Socket.IO over long-polling.
type pollingWire struct {
	packets
	web *http.Client
	url string // with the session's id, once it is known
	sid string

	post sync.Mutex // held during a POST: only one may be under way
	got  []string   // packets of the last poll, used by the listener
}

func (m *member) talkPolling() {
	srv := m.fleet.pick(m)
	w := m.newPolling(srv)
	if m.enter(srv, w.open) {
		m.talk(srv, w)
	}
	w.web.CloseIdleConnections()
}

func (m *member) newPolling(srv *server) *pollingWire {
	return &pollingWire{
		packets: m.packets(),
		web:     &http.Client{Transport: &http.Transport{}},
		url:     "http://" + srv.addr + "/socket.io/?EIO=4&transport=polling",
	}
}

func (w *pollingWire) open() error {
	text, err := w.read()
	if err != nil {
		return err
	}
	var open struct{ SID string }
	if text[0] != '0' || json.Unmarshal([]byte(text[1:]), &open) != nil || open.SID == "" {
		return fmt.Errorf("open: %.200q", text)
	}
	w.sid = open.SID
	w.url += "&sid=" + w.sid
	if err := w.write("40" + w.prefix); err != nil {
		return err
	}
	if text, err = w.read(); err != nil {
		return err
	}
	return w.welcome(text)
}

// errUnknown is what a server says about a session that has ended.
var errUnknown = errors.New("session unknown")

// do sends a request and returns the answer's body.
func (w *pollingWire) do(method, body string) (string, error) {
	req, err := http.NewRequest(method, w.url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	resp, err := w.web.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case resp.StatusCode == http.StatusBadRequest && strings.Contains(string(answer), `"code":1,`):
		return "", errUnknown
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %s %.200q", method, resp.Status, answer)
	}
	return string(answer), err
}

// read returns the next packet. It answers pings, and does not return them.
func (w *pollingWire) read() (string, error) {
	for {
		if len(w.got) == 0 {
			body, err := w.do(http.MethodGet, "")
			if err != nil {
				return "", err
			}
			w.got = strings.Split(body, "\x1e")
		}
		text := w.got[0]
		w.got = w.got[1:]
		switch text {
		case "":
			return "", errors.New("an empty packet")
		case "1":
			return "", io.EOF
		case "6":
		case "2":
			if err := w.write("3"); err != nil {
				return "", err
			}
		default:
			return text, nil
		}
	}
}

func (w *pollingWire) write(text string) error {
	w.post.Lock()
	defer w.post.Unlock()
	answer, err := w.do(http.MethodPost, text)
	if err == nil && answer != "ok" {
		err = fmt.Errorf("a post was answered %.200q", answer)
	}
	return err
}

func (w *pollingWire) send(m message) error { return w.write(w.encode(m)) }

func (w *pollingWire) receive() (message, error) {
	text, err := w.read()
	if err != nil {
		return message{}, err
	}
	m, parts, err := w.decode(text)
	for range parts {
		part, failed := w.read()
		if failed == nil {
			_, failed = base64.StdEncoding.DecodeString(strings.TrimPrefix(part, "b"))
		}
		err = errors.Join(err, failed)
	}
	return m, err
}

func (w *pollingWire) cancels() bool { return false }

// goodbye ends the session, which is unknown afterwards.
func (w *pollingWire) goodbye() { w.write("1") }

// cut has no connection to cut. A client that goes silently stays until the server
// loses patience, which vanishing clients test.
func (w *pollingWire) cut() { w.write("1") }

// isEnd accepts whatever results from the last requests to a server that shuts down.
// After our goodbye the session must be unknown.
func (w *pollingWire) isEnd(code int, err error) error {
	if code == 0 && !errors.Is(err, errUnknown) {
		return err
	}
	return nil
}

// talkUpgrading begins over polling, and continues over a WebSocket.
func (m *member) talkUpgrading() {
	srv := m.fleet.pick(m)
	w := m.newPolling(srv)
	defer w.web.CloseIdleConnections()
	if !m.enter(srv, w.open) {
		return
	}
	conn := m.dialSocket(srv, "ws"+strings.TrimPrefix(strings.Replace(w.url, "=polling", "=websocket", 1), "http"))
	if conn == nil {
		w.goodbye()
		return
	}
	defer conn.CloseNow()
	next := &socketWire{packets: w.packets, conn: conn}
	if m.enter(srv, func() error { return w.upgrade(next) }) {
		m.deeds.add(upgraded)
		m.talk(srv, next)
	}
}

// upgrade moves the session to a WebSocket. A poll that waits meanwhile must be
// answered.
func (w *pollingWire) upgrade(next *socketWire) error {
	var last string
	var failed error
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		last, failed = w.do(http.MethodGet, "")
	}()
	err := next.write("2probe")
	if err == nil {
		var text string
		if text, err = next.read(); err == nil && text != "3probe" {
			err = fmt.Errorf("a probe was answered %.200q", text)
		}
	}
	<-polled
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	next.early = append(w.got, strings.Split(last, "\x1e")...)
	return next.write("5")
}
