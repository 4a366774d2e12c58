package fs

// Usage is a command line that can't be understood.
type Usage struct{ Text, Next string }

// Error is what is wrong with it.
func (u *Usage) Error() string { return u.Text }

// Hint is the next step.
func (u *Usage) Hint() string { return u.Next }
