package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// terminalWidth is the number of columns; false: f is no console, or one that cannot move its cursor by
// escape sequences (before Windows 10).
func terminalWidth(f *os.File) (int, bool) {
	h := windows.Handle(f.Fd())
	var mode uint32
	if err := windows.GetConsoleMode(h, &mode); err != nil {
		return 0, false
	}
	if err := windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING); err != nil {
		return 0, false
	}
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(h, &info); err != nil {
		return 0, true
	}
	return int(info.Window.Right-info.Window.Left) + 1, true
}
