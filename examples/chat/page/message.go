package page

import (
	"strings"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter"
)

// MaxName and MaxText are in characters. The page knows them as well, and so do the
// texts of the errors.
const MaxName, MaxText = 24, 2000

// Message is what a page sends, and what a room gets to hear.
type Message struct {
	Room string `json:"room"`
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
	Key  string `json:"key,omitempty"`  // the sender's: the same when it is sent again
	Seq  int64  `json:"seq,omitempty"`  // grows by one in each room
	Time int64  `json:"time,omitempty"` // Unix milliseconds
}

// Name returns the name that somebody comes with.
func Name(conn *wsrouter.Conn) (string, error) {
	var in Message
	if err := conn.Auth(&in); err != nil || !fits(in.Name, MaxName) {
		return "", wsrouter.NewError("A name has 1 to 24 characters.")
	}
	return in.Name, nil
}

// CheckRoom wants the name of a room.
func (m Message) CheckRoom() error {
	if !fits(m.Room, MaxName) {
		return wsrouter.NewError("A room's name has 1 to 24 characters.")
	}
	return nil
}

// CheckText wants something to say.
func (m Message) CheckText() error {
	if !fits(m.Text, MaxText) || len(m.Key) > 64 {
		return wsrouter.NewError("A message has 1 to 2000 characters, its key at most 64.")
	}
	return nil
}

// fits wants 1 to n characters, with no blanks around them.
func fits(s string, n int) bool {
	return s != "" && utf8.RuneCountInString(s) <= n && s == strings.TrimSpace(s)
}
