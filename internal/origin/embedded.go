package origin

import "net/http"

// Embedded reports whether a page of somebody else's makes a browser ask by a way
// that sends no Origin: as an image, say, or in a frame (W3C Fetch Metadata).
func Embedded(h http.Header) bool {
	switch h.Get("Sec-Fetch-Mode") {
	case "no-cors":
		return true
	case "navigate", "nested-navigate":
		site := h.Get("Sec-Fetch-Site")
		return site == "cross-site" || site == "same-site"
	}
	return false
}
