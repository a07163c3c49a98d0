// Package deploy holds tests only. They hold docs/deploy.md to what it says: four
// servers, folder server, are rolled one after another behind an nginx that is
// configured by the page, while clients of all kinds work.
//
// ./test.sh in the repository's root installs what they need and runs them. By
// hand, since go test cannot know what a process depends on:
//
//	go test -count=1 .
package deploy
