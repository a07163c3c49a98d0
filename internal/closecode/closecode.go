// Package closecode says what may be done with the close codes of RFC 6455 section 7.4
// and of the IANA registry it refers to.
package closecode

// Sendable reports whether a close frame may carry the code.
func Sendable(code int) bool {
	switch code {
	case 1004, 1005, 1006:
		return false
	}
	return 1000 <= code && code <= 1014 || 3000 <= code && code <= 4999
}

// Final reports whether a client that is told the code does not come back: it has
// finished, has broken a rule and would do so again, or the application wants it to stay
// away.
func Final(code int) bool {
	switch code {
	case 1000, 1002, 1003, 1007, 1008, 1009, 1010:
		return true
	}
	return 4000 <= code && code <= 4499
}
