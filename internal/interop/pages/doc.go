// Package pages holds tests only: every snippet of Go on every page of the repository
// compiles, or stands word for word in a file that does.
package pages
