package driver

import "time"

// Deadline is the instant d from now, for the deadlines of a net.Conn; the zero time for d <= 0, which
// lifts them.
func Deadline(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
