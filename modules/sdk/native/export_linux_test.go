package native

// NoticesSignal tells whether a process listens to a signal.
var NoticesSignal = noticesSignal
