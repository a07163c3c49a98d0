//go:build tinybuffers

package socket

const (
	readSize  = 40 // the longest header, and a short message
	batchSize = 8
	flushAt   = 48
)
