package load

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The opcodes of RFC 6455 section 5.2 that are used here.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// mask is the masking key of every client frame. It must not be zero, which a
// server could take as a hint to skip its work. Because it never changes, a frame
// is built once and sent a million times.
var mask = [4]byte{0x3d, 0x91, 0xc6, 0x58}

// appendFrame appends a masked client frame.
func appendFrame(b []byte, opcode byte, payload []byte) []byte {
	b = append(b, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, 0x80|127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i&3])
	}
	return b
}

var errShort = errors.New("frame is not complete")

// readFrame takes the first server frame off b. It returns errShort if the frame is
// incomplete. No server here has a reason to fragment.
func readFrame(b []byte) (opcode byte, payload, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, b, errShort
	}
	if b[0]&0xf0 != 0x80 || b[1]&0x80 != 0 {
		return 0, nil, b, fmt.Errorf("frame begins %#x %#x: want one that is whole, unmasked and uncompressed", b[0], b[1])
	}
	size, header := uint64(b[1]), 2
	switch {
	case size == 126 && len(b) >= 4:
		size, header = uint64(binary.BigEndian.Uint16(b[2:])), 4
	case size == 127 && len(b) >= 10:
		size, header = binary.BigEndian.Uint64(b[2:]), 10
	case size >= 126:
		return 0, nil, b, errShort
	}
	if uint64(len(b)-header) < size {
		return 0, nil, b, errShort
	}
	end := header + int(size)
	return b[0] & 0x0f, b[header:end], b[end:], nil
}
