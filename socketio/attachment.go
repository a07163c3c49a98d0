package socketio

import (
	"fmt"
	"strconv"

	"github.com/wsrouter/wsrouter/payload"
)

// tooManyAttachments is the error for a packet, in either direction, with more than
// n attachments.
type tooManyAttachments int

func (n tooManyAttachments) Error() string { return fmt.Sprintf("more than %d attachments", int(n)) }

// encodeArgs appends arguments to b, which already has content, as elements of a
// JSON array. On the wire bytes are binary messages of their own: they are returned
// as attachments and replaced by {"_placeholder":true,"num":0}. There may be at
// most that many.
func encodeArgs(b []byte, args []any, most int) (_ []byte, attachments [][]byte, err error) {
	attach := func(b, data []byte) []byte {
		b = append(b, `{"_placeholder":true,"num":`...)
		b = append(strconv.AppendInt(b, int64(len(attachments)), 10), '}')
		attachments = append(attachments, data)
		return b
	}
	for _, arg := range args {
		if b[len(b)-1] != '[' {
			b = append(b, ',')
		}
		if b, err = payload.AppendArg(b, arg, attach); err != nil {
			return nil, nil, err
		}
	}
	if len(attachments) > most {
		return nil, nil, tooManyAttachments(most)
	}
	return b, attachments, nil
}
