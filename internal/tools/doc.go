// Package tools is empty. Its go.mod pins the programs that test.sh checks the tree
// with, apart from the go.mod that users of the library see.
package tools
