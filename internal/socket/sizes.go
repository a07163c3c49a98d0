//go:build !tinybuffers

package socket

// The sizes in bytes of buffers. With the tag tinybuffers they are so small that
// tests see every way of being cut off.
const (
	// readSize is that of a read buffer. Longer payloads are read where they belong.
	readSize = 8 << 10

	// batchSize is that of the buffer that a batch begins with.
	batchSize = 4 << 10

	// flushAt is when a batch is sent before it is complete. Longer messages are
	// not copied.
	flushAt = 32 << 10
)
