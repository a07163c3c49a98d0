// Package recipes is the code that docs/recipes.md shows, so that it is compiled
// and tested. What a recipe needs that no page shows is in its test.
package recipes
