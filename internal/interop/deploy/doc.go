// Package deploy has only tests. They check what docs/deploy.md says: four servers,
// from folder server, are replaced one after another, behind an nginx that is
// configured as on the page, while clients of all kinds work.
//
// ./test.sh in the repository's root installs what they need and runs them. To run
// them alone, disable the cache, because go test cannot know what a process depends
// on:
//
//	go test -count=1 .
package deploy
