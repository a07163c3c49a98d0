//go:build !race

package loop

const crowd = 10_000
