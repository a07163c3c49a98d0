package origin

import "net/http"

// Embedded reports whether somebody else's page makes a browser send the request in
// a way that has no Origin, for example as an image or in a frame (W3C Fetch
// Metadata).
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
