//go:build !tinybuffers

package socket

// The sizes of buffers, in bytes. With the tag tinybuffers they are so small that
// tests cut messages off at every point.
const (
	// readSize is the size of a read buffer. Longer payloads are read directly into
	// place.
	readSize = 8 << 10

	// batchSize is the size of the buffer that a batch begins with.
	batchSize = 4 << 10

	// flushAt is the size at which a batch is sent before it is complete. Longer
	// messages are not copied.
	flushAt = 32 << 10
)
