// Package recipes is the code that docs/recipes.md shows, so that it is compiled
// and tested. Code that a recipe needs but the page does not show is in the tests.
package recipes
