//go:build !linux && !darwin && !windows

package main

import "os"

// terminalWidth knows no terminal here: no progress is shown.
func terminalWidth(*os.File) (int, bool) { return 0, false }
