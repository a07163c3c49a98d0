//go:build !unix

package socket

func directOf(network) direct { return nil }
