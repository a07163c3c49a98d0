// Package robot is somebody to talk to when the chat is empty.
package robot

import (
	_ "embed"
	"strings"
	"time"

	"github.com/wsrouter/wsrouter"
)

//go:embed robot.txt
var script string // "word: what the robot says about it"; the last line is for everything else

// Ask answers word by word. The stop button cancels the request: then yield returns
// false. Meanwhile other events of the page are handled.
func Ask(c *wsrouter.Context) error {
	var question string
	if err := c.Bind(&question); err != nil {
		return err
	}
	return wsrouter.StreamSeq(c, func(yield func(string, error) bool) {
		for word := range strings.FieldsSeq(answer(strings.ToLower(question))) {
			time.Sleep(100 * time.Millisecond)
			if !yield(word, nil) {
				return
			}
		}
	})
}

func answer(question string) (text string) {
	for line := range strings.Lines(script) {
		var about string
		if about, text, _ = strings.Cut(line, ": "); strings.Contains(question, about) {
			break
		}
	}
	return text
}
