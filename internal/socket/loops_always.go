//go:build eventloops

package socket

const alwaysLoop = true
