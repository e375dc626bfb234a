package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// formatSize writes a number of bytes with a binary unit: "256 MiB", "1.5 MiB", "12 B".
func formatSize(n int64) string {
	for _, u := range units {
		if n < u.bytes {
			continue
		}
		v := float64(n) / float64(u.bytes)
		if n%u.bytes == 0 || v >= 1000 {
			return fmt.Sprintf("%.0f %s", v, u.name)
		}
		return fmt.Sprintf("%.1f %s", v, u.name)
	}
	return fmt.Sprintf("%d B", n)
}

// parseSize reads "4096", "64K", "64KB", "64KiB" or "1.5G"; all units are binary.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(strings.ReplaceAll(text, " ", ""), "BbIiKkMmGgTt")
	unit := strings.ToUpper(strings.ReplaceAll(text, " ", "")[len(digits):])
	factor := int64(1)
	switch unit {
	case "", "B":
	case "K", "KB", "KIB":
		factor = 1 << 10
	case "M", "MB", "MIB":
		factor = 1 << 20
	case "G", "GB", "GIB":
		factor = 1 << 30
	case "T", "TB", "TIB":
		factor = 1 << 40
	default:
		return 0, fmt.Errorf("%q is no size: write 4096, 64K, 256M or 1.5G", text)
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(v >= 0 && v*float64(factor) < 1<<62) {
		return 0, fmt.Errorf("%q is no size: write 4096, 64K, 256M or 1.5G", text)
	}
	return int64(v * float64(factor)), nil
}

// formatRate writes bytes in a time as a rate per second.
func formatRate(n int64, d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return formatSize(perSecond(n, d)) + "/s"
}

func perSecond(n int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(n) / d.Seconds())
}

// formatTime keeps three digits or so.
func formatTime(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

func percent(part, whole int64) int {
	if whole <= 0 {
		return 0
	}
	return int(part * 100 / whole)
}

// bar draws a share of a width: "#####.....".
func bar(share float64, width int) string {
	full := int(share*float64(width) + 0.5)
	full = max(0, min(full, width))
	return strings.Repeat("#", full) + strings.Repeat(".", width-full)
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
