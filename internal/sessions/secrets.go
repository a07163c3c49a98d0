package sessions

import "crypto/sha256"

// A connection that its client can come back to has a secret. The registry keeps only
// a hash of it, which is what is compared: how long that takes says nothing of how much
// of a guess is right.

type hash = [sha256.Size]byte

// Promise makes Find find a connection by its secret.
func (r *Registry[L, C]) Promise(secret string, c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[sha256.Sum256([]byte(secret))] = c
}

// Find returns the connection of a secret.
func (r *Registry[L, C]) Find(secret string) (C, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.secrets[sha256.Sum256([]byte(secret))]
	return c, ok
}

// Break makes a secret one of nothing.
func (r *Registry[L, C]) Break(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.secrets, sha256.Sum256([]byte(secret)))
}
