package socket

import "encoding/binary"

// RFC 6455 section 5.2: the header of a frame.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10

	final      = 0x80 // the last frame of its message
	compressed = 0x40 // RFC 7692: in the first frame of a message
	reserved   = 0x30
	masked     = 0x80 // in the second byte

	maxControl = 125 // bytes in the payload of a control frame
	maxHeader  = 14  // bytes
)

// header is the header of a frame.
type header struct {
	first   byte // FIN, three bits for extensions, and the opcode
	masked  bool
	mask    [4]byte
	size    uint8  // of the header, in bytes
	payload uint64 // in bytes
}

func (h header) opcode() byte    { return h.first & 0x0f }
func (h header) isFinal() bool   { return h.first&final != 0 }
func (h header) isControl() bool { return h.first&0x08 != 0 }

// parseHeader reports false if p is too short.
func parseHeader(p []byte) (h header, ok bool) {
	if len(p) < 2 {
		return h, false
	}
	h = header{first: p[0], masked: p[1]&masked != 0, size: 2, payload: uint64(p[1] & 0x7f)}
	switch h.payload {
	case 126:
		h.size = 4
	case 127:
		h.size = 10
	}
	if len(p) < int(h.size) {
		return h, false
	}
	switch h.size {
	case 4:
		h.payload = uint64(binary.BigEndian.Uint16(p[2:]))
	case 10:
		h.payload = binary.BigEndian.Uint64(p[2:])
	}
	if !h.masked {
		return h, true
	}
	if len(p) < int(h.size)+4 {
		return h, false
	}
	copy(h.mask[:], p[h.size:])
	h.size += 4
	return h, true
}

// appendHeader appends a header without a mask.
func appendHeader(b []byte, first byte, size int) []byte {
	b = append(b, first)
	switch {
	case size < 126:
		return append(b, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
}

// mask stores src in dst, XORed with the four bytes of key in turn, starting with
// the one at pos. dst and src may be the same.
func mask(dst, src []byte, key [4]byte, pos uint64) {
	turned := [4]byte{key[pos&3], key[(pos+1)&3], key[(pos+2)&3], key[(pos+3)&3]}
	wide := uint64(binary.LittleEndian.Uint32(turned[:]))
	wide |= wide << 32
	i := 0
	for ; i+8 <= len(src); i += 8 {
		binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(src[i:])^wide)
	}
	for ; i < len(src); i++ {
		dst[i] = src[i] ^ turned[i&3]
	}
}
