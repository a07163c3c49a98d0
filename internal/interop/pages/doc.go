// Package pages has only tests: every snippet of Go on every page of the repository
// compiles, or is copied word for word from a file that does.
package pages
