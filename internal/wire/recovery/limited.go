package recovery

// WindowLimited says that the window, and not the application, keeps the owner from sending, although some
// of it is free: it waits until a larger segment fits. The window may grow then as if it were full.
func (s *Sender) WindowLimited() { s.full = s.board.nxt }
