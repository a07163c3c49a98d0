package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// micros writes seconds as microseconds, or milliseconds, to three digits.
func micros(seconds float64) string {
	switch us := seconds * 1e6; {
	case math.IsNaN(us):
		return ""
	case us < 10:
		return fmt.Sprintf("%.2f µs", us)
	case us < 100:
		return fmt.Sprintf("%.1f µs", us)
	case us < 1000:
		return fmt.Sprintf("%.0f µs", us)
	case us < 100_000:
		return fmt.Sprintf("%.1f ms", us/1e3)
	default:
		return fmt.Sprintf("%.0f ms", us/1e3)
	}
}

// times writes a ratio.
func times(ratio float64) string {
	if math.IsNaN(ratio) {
		return ""
	}
	return fmt.Sprintf("%.2f", ratio)
}

// thousands writes a whole number with commas.
func thousands(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	digits := strconv.Itoa(int(math.Round(v)))
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// kilobytes writes bytes of memory.
func kilobytes(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf("%.1f KB", v/1024)
}

// size writes bytes that are a power of two.
func size(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KB", n>>10)
	default:
		return fmt.Sprintf("%d B", n)
	}
}

func round2(v float64) float64 { return math.Round(v*100) / 100 }

// argsort returns the indexes of values in ascending order of the values.
func argsort(values []float64) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	return order
}
