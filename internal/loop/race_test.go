//go:build race

package loop

// crowd is how many connections count as many. The race detector makes each slow.
const crowd = 2_000
