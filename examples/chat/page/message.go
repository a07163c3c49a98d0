package page

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wsrouter/wsrouter"
)

// MaxName and MaxText are in characters. The page knows them as well, and so do the
// texts of the errors.
const MaxName, MaxText = 24, 2000

// Message is what a page sends, and what a room receives.
type Message struct {
	Room string `json:"room"`
	Name string `json:"name"`
	Tag  string `json:"tag,omitempty"` // see Person
	Text string `json:"text,omitempty"`
	Key  string `json:"key,omitempty"`  // chosen by the sender: the same when a message is sent again
	Seq  int64  `json:"seq,omitempty"`  // increases by one in each room
	Time int64  `json:"time,omitempty"` // Unix milliseconds
}

// Person is somebody who sends a message, or is in a room.
type Person struct {
	Name string `json:"name"`
	Tag  string `json:"tag,omitempty"` // chosen by the browser, so that people with the same name can be told apart
}

// Who returns who a client says it is. Anybody may use any name and tag.
func Who(conn *wsrouter.Conn) (Person, error) {
	var who Person
	if err := conn.Auth(&who); err != nil || !fits(who.Name, MaxName) {
		return Person{}, wsrouter.NewError("A name has 1 to 24 characters.")
	}
	if len(who.Tag) > 8 || strings.Trim(who.Tag, "0123456789abcdefghijklmnopqrstuvwxyz") != "" {
		return Person{}, wsrouter.NewError("A tag has at most 8 letters and digits.")
	}
	return who, nil
}

// People tells a room who is in it: each person once, in order, however many tabs
// they have open.
type People struct {
	Room   string   `json:"room"`
	People []Person `json:"people"`
}

// In returns who is in a room. It keeps the slice.
func In(room string, all []Person) People {
	slices.SortFunc(all, func(a, b Person) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tag, b.Tag)) })
	return People{room, slices.Compact(all)}
}

// CheckRoom requires the name of a room.
func (m Message) CheckRoom() error {
	if !fits(m.Room, MaxName) {
		return wsrouter.NewError("A room's name has 1 to 24 characters.")
	}
	return nil
}

// CheckText requires a text.
func (m Message) CheckText() error {
	if !fits(m.Text, MaxText) || len(m.Key) > 64 {
		return wsrouter.NewError("A message has 1 to 2000 characters, its key at most 64.")
	}
	return nil
}

// fits reports whether s has 1 to n characters and no blanks around them.
func fits(s string, n int) bool {
	return s != "" && utf8.RuneCountInString(s) <= n && s == strings.TrimSpace(s)
}
